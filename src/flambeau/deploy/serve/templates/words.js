"use strict";
// Everything that comes from data or from the server becomes text nodes: no string is ever parsed as markup.

/** An element with attributes, properties that start with "on", and children that are nodes or text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function find(id) {
  return document.getElementById(id);
}

const plainNumber = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });

/** 1234.5 → "1,234.5"; very large and very small numbers in powers of ten. */
function number(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) return value.toExponential(3);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return size >= 1000 ? Math.round(value).toLocaleString("en") : plainNumber.format(value);
}

/** A score: four digits are more than its interval can tell apart. */
function score(value) {
  return Math.abs(value) >= 1000 ? number(value) : value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

function percent(probability) {
  const share = 100 * probability;
  if (share > 0 && share < 0.1) return "< 0.1 %";
  if (share < 100 && share > 99.9) return "> 99.9 %";
  return share.toFixed(1) + " %";
}

/** A change with its sign: of a probability in points, of a value in its own units. */
function signed(change, isValue) {
  if (change === 0) return "none";
  const sign = change > 0 ? "+" : "−";
  const size = Math.abs(change);
  if (isValue) return sign + number(size);
  return sign + (size < 0.0005 ? "< 0.1" : (100 * size).toFixed(1)) + " points";
}

function bytes(size) {
  if (size < 1024) return size + " bytes";
  return size < 1048576 ? (size / 1024).toFixed(0) + " KB" : (size / 1048576).toFixed(1) + " MB";
}

function range(low, high) {
  return isNumber(low) && isNumber(high) ? number(low) + " to " + number(high) : "";
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function count(size, what) {
  return number(size) + " " + what + (size === 1 ? "" : "s");
}

/** The first names, and how many more there are. */
function listed(names, most = 8) {
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? shown + " and " + (names.length - most) + " more" : shown;
}
