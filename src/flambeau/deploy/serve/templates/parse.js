// Pasted rows, and dates in the way in which the training data writes them.

const DATE_PARTS = { "%Y": [0, 4], "%m": [5, 2], "%d": [8, 2], "%H": [11, 2], "%M": [14, 2], "%S": [17, 2] };

/** The browser's own picker where it can write the format; "" is ISO 8601. */
function datePicker(format) {
  if (!format) return "date";
  const rest = format.replace(/%[YmdHMS]/g, "");
  if (rest.includes("%") || !["%Y", "%m", "%d"].every((part) => format.includes(part))) return "text";
  return /%[HMS]/.test(format) ? "datetime-local" : "date";
}

/** "2024-05-31T10:00" → the same moment as `format` writes it. */
function writeDate(value, format) {
  if (!format) return value;
  const whole = (value + "T00:00:00").slice(0, 10) + "T" + (value.slice(11) + ":00:00").replace(/^:/, "00:").slice(0, 8);
  return format.replace(/%[YmdHMS]/g, (part) => whole.substr(...DATE_PARTS[part]));
}

/** A value of the server or of a pasted row, as the control holds it. */
function written(column, value, control) {
  const text = String(value).trim();
  if (column.kind === "boolean") {
    if (/^(true|t|yes|y|1|1\.0)$/i.test(text)) return "true";
    return /^(false|f|no|n|0|0\.0)$/i.test(text) ? "false" : "";
  }
  if (column.kind === "date" && control.type !== "text") {
    const read = readDate(text, column.date_format);
    return control.type === "date" ? read.slice(0, 10) : read;
  }
  if (control.tagName === "SELECT" && text && ![...control.options].some((option) => option.value === text)) {
    control.append(make("option", { value: text }, text + " (unknown)"));
  }
  return text;
}

/** The inverse of `writeDate`; ISO 8601 is always understood. */
function readDate(text, format) {
  const iso = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?/.exec(text);
  if (iso || !format) return (iso ? iso[0] : "").replace(" ", "T");
  const parts = [];
  const pattern = format.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/%[YmdHMS]/g, (part) => {
    parts.push(part);
    return part === "%Y" ? "(\\d{4})" : "(\\d{1,2})";
  });
  const match = new RegExp("^" + pattern).exec(text);
  if (!match) return "";
  const found = Object.fromEntries(parts.map((part, place) => [part, match[place + 1].padStart(2, "0")]));
  const get = (part) => found[part] || "00";
  return get("%Y") + "-" + get("%m") + "-" + get("%d") + "T" + get("%H") + ":" + get("%M") + ":" + get("%S");
}

/**
 * A pasted row.
 * @param {string} text a JSON object, or one or two lines of delimited text
 * @param {string[]} names of the model's columns, in order
 * @param {string} target a column that a row of the training data has besides
 * @returns {{row?: object, problem?: string}}
 */
function parseRow(text, names, target) {
  const trimmed = text.trim();
  if (trimmed.startsWith("{") || trimmed.startsWith("[")) return parseObject(trimmed, names);
  const lines = trimmed.split(/\r?\n/).filter((line) => line.trim());
  const separator = [..."\t;,"].find((mark) => lines[0].includes(mark)) ?? ",";
  const cells = lines.map((line) => splitLine(line, separator));
  const known = cells[0].filter((cell) => names.includes(cell)).length;
  if (known >= Math.max(1, Math.min(names.length, cells[0].length) / 2)) {
    if (cells.length < 2) return { problem: "This is the line with the names; paste the values below it." };
    return { row: Object.fromEntries(cells[0].map((name, place) => [name, cells[1][place] ?? ""])) };
  }
  if (cells[0].length === names.length) return { row: Object.fromEntries(names.map((name, place) => [name, cells[0][place]])) };
  return { problem: "Expected " + count(names.length, "value") + " in the order of the fields, or a line with their names above; got " + cells[0].length + (target ? ". A row without names must leave '" + target + "' out." : ".") };
}

function parseObject(text, names) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problem: "This is no JSON yet: " + error.message };
  }
  const row = Array.isArray(value) ? value[0] : (value.row ?? value);
  if (row === null || typeof row !== "object" || Array.isArray(row)) return { problem: "Expected an object of names and values." };
  if (!names.some((name) => name in row)) return { problem: "None of these names is a column of the model: " + listed(Object.keys(row)) + "." };
  return { row };
}

/** One line of CSV: quoted cells may hold the separator, and doubled quotes. */
function splitLine(line, separator) {
  const cells = [];
  let cell = "";
  let quoted = false;
  for (let place = 0; place < line.length; place += 1) {
    const mark = line[place];
    if (quoted && mark === '"' && line[place + 1] === '"') {
      cell += '"';
      place += 1;
    } else if (mark === '"' && (quoted || cell.trim() === "")) quoted = !quoted;
    else if (mark === separator && !quoted) {
      cells.push(cell.trim());
      cell = "";
    } else cell += mark;
  }
  cells.push(cell.trim());
  return cells;
}
