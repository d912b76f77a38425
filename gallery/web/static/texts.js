// The page in another language: its texts are replaced as they come into the document.
// A file has {lang, texts}, from an English text to another; {} stands for what differs each time.

const NAMES = ["title", "aria-label", "aria-valuetext", "placeholder", "alt"];

export function translate({ lang, texts }) {
  const known = new Map(Object.entries(texts));
  const patterns = [...known].filter(([text]) => text.includes("{}")).map(([text, other]) => [pattern(text), other]);
  const word = (text) => {
    if (known.has(text)) return known.get(text);
    for (const [each, other] of patterns) {
      const found = each.exec(text);
      if (found) return found.slice(1).reduce((made, value) => made.replace("{}", () => known.get(value) ?? value), other);
    }
    return null;
  };
  const replace = (text, put) => {
    const plain = text.trim().replace(/\s+/g, " ");
    const other = plain && word(plain);
    if (other && other !== plain) put(text.replace(text.trim(), () => other));
  };
  const take = (node) => {
    if (node.nodeType === Node.TEXT_NODE) {
      replace(node.data, (text) => (node.data = text));
      return;
    }
    for (const name of NAMES) if (node.hasAttribute?.(name)) replace(node.getAttribute(name), (text) => node.setAttribute(name, text));
    for (const child of node.content?.childNodes ?? node.childNodes) take(child);
  };
  document.documentElement.lang = lang;
  new MutationObserver((changes) => {
    for (const { type, target, attributeName: name, addedNodes } of changes) {
      if (type === "childList") addedNodes.forEach(take);
      else if (type === "characterData") take(target);
      else replace(target.getAttribute(name) ?? "", (text) => target.setAttribute(name, text));
    }
  }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: NAMES });
  take(document.documentElement);
}

function pattern(text) {
  const parts = text.split("{}").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("(.+?)")}$`, "s");
}
