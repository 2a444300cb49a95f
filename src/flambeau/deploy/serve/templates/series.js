// The form for time series: a pasted or dropped table of past rows; the answer is a drawing and a table of the rows to come.

const DRAWING = { width: 640, height: 260, left: 52, right: 12, top: 12, bottom: 26 };
const FIRST_TIMES = 12;
// more are cut off, as the server refuses them; a forecast reads only the last ones
const MOST_ROWS = 5000;

/** Arguments as of `pictureForm`. */
function seriesForm(model, place, page) {
  const facts = model.series;
  const named = [...facts.time, ...(facts.series ? [facts.series] : []), ...facts.channels];
  let sent = [];
  const pasted = make("textarea", {
    id: "pasted",
    spellcheck: "false",
    rows: 12,
    placeholder: named.join(",") + "\n…",
    oninput: () => page.changed(),
  });
  const told = make("p", { class: "told", role: "status" });
  const file = make("input", { id: "file", type: "file", accept: ".csv,.tsv,.txt,text/csv", onchange: () => read(file.files[0]) });
  const form = make("form", { class: "form", novalidate: true, autocomplete: "off" });
  form.append(
    make("label", { class: "quiet", for: "pasted" }, "At least " + count(facts.lookback, "row") + ", the oldest first, with the line of names above"),
    pasted,
    make("p", {}, make("label", { class: "button", for: "file" }, "Read a file", file)),
    told,
    make("p", { class: "actions" }, make("button", { class: "main", id: "predict" }, "Forecast"), make("button", { type: "button", onclick: clear }, "Clear")),
  );
  file.classList.add("unseen");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  place.replaceChildren(form);

  async function read(chosen) {
    if (!chosen) return;
    pasted.value = await chosen.text();
    file.value = "";
    page.changed();
    send();
  }

  function clear() {
    pasted.value = "";
    told.textContent = "";
    page.changed();
  }

  function send() {
    const found = parseRows(pasted.value, named);
    told.classList.toggle("wrong", Boolean(found.problem));
    told.textContent = found.problem || count(found.rows.length, "row") + " read.";
    if (found.problem) return;
    const most = Math.max(MOST_ROWS, 2 * facts.lookback);
    sent = facts.series ? found.rows : found.rows.slice(-most);
    if (sent.length < found.rows.length) told.textContent += " The last " + count(sent.length, "row") + " are sent, the newest of which must be last.";
    page.send({ rows: sent });
  }

  return {
    empty: "Paste the last rows, or read a file, and press Forecast.",
    wantsWhy: () => false,
    again: send,
    body: (input) => ({ body: JSON.stringify({ rows: input.rows }), headers: { "content-type": "application/json" } }),
    show: (one, answer, time) => showForecasts(one, answer, sent, time),
    explained() {},
    asked() {},
    close() {},
  };
}

/** Lines of delimited text with names above → {rows} of strings, or {problem}. */
function parseRows(text, names) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  if (lines.length < 2) return { problem: "Expected a line with the names and rows below it." };
  const separator = [..."\t;,"].find((mark) => lines[0].includes(mark)) ?? ",";
  const header = splitLine(lines[0].replace(/^\ufeff/, ""), separator);
  const absent = names.filter((name) => !header.includes(name));
  if (absent.length) return { problem: "These columns are missing: " + listed(absent) + "." };
  const places = names.map((name) => header.indexOf(name));
  const rows = lines.slice(1).map((line) => {
    const cells = splitLine(line, separator);
    return Object.fromEntries(names.map((name, place) => [name, cells[places[place]] || null]));
  });
  return { rows };
}

function showForecasts(model, answer, rows, time) {
  const forecasts = answer.forecasts ?? [answer];
  const parts = [];
  for (const forecast of forecasts.slice(0, FIRST_BARS)) {
    const label = model.series.series;
    const own = label ? rows.filter((row) => row[label] === forecast.input) : rows;
    for (const target of model.series.targets.slice(0, FIRST_BARS)) parts.push(oneForecast(model, forecast, target, own));
  }
  const strange = forecasts.flatMap((one) => one.strange);
  say("The forecast is there. " + strange.map(sentence).join(" "));
  const last = forecasts.length === 1 ? " after " + forecasts[0].last : "";
  const headline = make("p", { class: "headline" }, make("b", {}, count(model.series.horizon, "step") + " ahead"), make("span", {}, withArticle(model.series.frequency) + " apart" + last));
  show(headline, strange.length ? warning(strange) : null, ...parts, make("p", { class: "time" }, time));
}

/** "an hour", "a day", "15 minutes". */
function withArticle(words) {
  if (/^\d/.test(words)) return words;
  return (/^([aeio]|hour)/.test(words) ? "an " : "a ") + words;
}

function oneForecast(model, forecast, target, rows) {
  const past = rows.map((row) => Number.parseFloat(row[target])).filter(isNumber);
  const bands = Object.values(forecast.quantiles?.[target] ?? {});
  const title = (forecast.input && model.series.series ? forecast.input + ": " : "") + target;
  return make("div", {}, make("h3", {}, title), drawForecast(past, forecast.values[target], bands), timesTable(model, forecast, target));
}

/** Past, forecast and the band between the outermost quantiles, as an SVG drawing. */
function drawForecast(past, values, bands) {
  const shown = past.slice(-Math.max(2 * values.length, 30));
  const low = bands.length > 1 ? bands[0] : values;
  const high = bands.length > 1 ? bands[bands.length - 1] : values;
  const all = [...shown, ...values, ...low, ...high].filter(isNumber);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const { width, height, left, right, top, bottom } = DRAWING;
  const total = Math.max(1, shown.length + values.length - 1);
  const x = (place) => left + ((width - left - right) * place) / total;
  const y = (value) => height - bottom - ((height - top - bottom) * (value - least)) / (most - least || 1);
  const line = (list, first) => list.map((value, place) => x(first + place).toFixed(1) + "," + y(value).toFixed(1)).join(" ");
  const next = shown.length;
  const band = line(high, next) + " " + line(low, next).split(" ").reverse().join(" ");
  const joined = shown.length ? line([shown[shown.length - 1], ...values], next - 1) : line(values, next);
  return svg(
    "svg",
    { viewBox: "0 0 " + width + " " + height, class: "forecast", role: "img", "aria-label": "past values and the forecast" },
    svg("polygon", { class: "band", points: band }),
    svg("polyline", { class: "past", points: line(shown, 0) }),
    svg("polyline", { class: "ahead", points: joined }),
    ...[least, most].map((value) => svgText(number(Number(value.toPrecision(3))), left - 6, y(value) + 4, "end")),
    svgText("past", left, height - 6, "start"),
    svgText("forecast", width - right, height - 6, "end"),
  );
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

function svgText(words, x, y, anchor) {
  const element = svg("text", { x, y, "text-anchor": anchor });
  element.textContent = words;
  return element;
}

function timesTable(model, forecast, target) {
  const quantiles = Object.entries(forecast.quantiles?.[target] ?? {});
  const head = make("tr", {}, make("th", {}, "time"), make("th", {}, "forecast"), ...quantiles.map(([name]) => make("th", {}, 100 * Number(name) + " %")));
  const rows = forecast.times.map((time, place) =>
    make("tr", {}, make("td", {}, time), make("td", {}, shown(forecast.values[target][place])), ...quantiles.map(([, list]) => make("td", {}, shown(list[place])))),
  );
  const body = make("tbody");
  return withTable(make("table", { class: "times" }, make("thead", {}, head), body), body, rows);
}

function withTable(table, body, rows) {
  body.append(...rows.slice(0, FIRST_TIMES));
  if (rows.length <= FIRST_TIMES) return table;
  const more = make("button", { type: "button", class: "link" }, "Show all " + number(rows.length));
  more.addEventListener("click", () => {
    body.append(...rows.slice(FIRST_TIMES));
    more.remove();
  });
  return make("div", {}, table, more);
}
