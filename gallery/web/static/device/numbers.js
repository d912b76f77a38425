// Numbers as Python and NumPy treat them.

export function unit(value) {
  return Math.min(Math.max(value, 0), 1);
}

/** Round, halves to the even number. */
export function rounded(value) {
  const whole = Math.round(value);
  return Math.abs(value % 1) === 0.5 && whole % 2 ? whole - 1 : whole;
}
