// The one way in which elements are made: text goes in as text.

/** Makes an element with a class and, as plain text, a content. */
export function element(document, tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  if (text) made.textContent = text;
  return made;
}
