// A ZIP file of pictures; they are compressed already, so they are only put beside each other.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let i = 0; i < 8; i += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function checksum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

// `files` have a name each; of equal names the later ones get a number.
export async function zip(files) {
  const [parts, directory, names] = [[], [], new Set()];
  let offset = 0;
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(free(file.name, names));
    // Version, UTF-8 names, no compression, 1 January 1980, checksum and sizes.
    const facts = [[20, 2], [0x0800, 2], [0, 2], [0, 2], [0x21, 2], [checksum(bytes), 4], [bytes.length, 4], [bytes.length, 4], [name.length, 2], [0, 2]];
    const head = numbers([[0x04034b50, 4], ...facts]);
    parts.push(head, name, bytes);
    directory.push(numbers([[0x02014b50, 4], [20, 2], ...facts, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), name);
    offset += head.length + name.length + bytes.length;
  }
  const size = directory.reduce((all, each) => all + each.length, 0);
  const end = numbers([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function free(name, names) {
  const [, stem, suffix] = /^(.*?)(\.[^.]*)?$/.exec(name);
  let found = name;
  for (let i = 2; names.has(found); i += 1) found = `${stem} ${i}${suffix ?? ""}`;
  names.add(found);
  return found;
}

function numbers(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((all, [, size]) => all + size, 0)));
  let at = 0;
  for (const [value, size] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}
