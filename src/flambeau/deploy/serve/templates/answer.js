// The right-hand side: what the server answered, why, and what went wrong.

const FIRST_BARS = 10;
const FEWEST_BARS = 3;
const WORTH_A_BAR = 0.001;

function say(sentence) {
  find("said").textContent = sentence;
}

function show(...nodes) {
  find("answer").replaceChildren(...nodes.filter(Boolean));
}

function showEmpty(sentence) {
  say("");
  show(make("p", { class: "quiet" }, sentence));
}

function showWaiting() {
  say("Asking the model.");
  show(make("div", { class: "waiting", "aria-hidden": "true" }, make("i"), make("i"), make("i"), make("i")));
}

function hasAnswer() {
  return find("answer").querySelector(".headline") !== null;
}

/** The answer stays readable, and says that it belongs to another input than the one that is seen. */
function showStale(again) {
  const answer = find("answer");
  if (find("stale")) return;
  find("why-waiting")?.remove();
  for (const child of answer.children) child.classList.add("stale");
  answer.prepend(make("p", { class: "note", id: "stale" }, "You have changed the input since. ", again));
}

/** An error's words: those of the server's own body, or what the browser knows. */
function showError(words, retry) {
  const rows = [];
  for (const key of ["where", "got", "expected", "hint"]) {
    if (words[key]) rows.push(make("dt", {}, key), make("dd", {}, String(words[key])));
  }
  say("This went wrong: " + words.what);
  show(
    make(
      "div",
      { class: "alert", id: "error" },
      make("p", {}, make("strong", {}, sentence(words.what))),
      rows.length ? make("dl", {}, ...rows) : null,
      retry ? make("p", {}, make("button", { type: "button", onclick: retry }, "Try again")) : null,
    ),
  );
}

function sentence(words) {
  const text = String(words).trim();
  return text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "";
}

/**
 * One answer of the server.
 * @param {object} model of the page's list
 * @param {object} answer {label | value, probabilities, strange}
 * @param {string} time how long it took, in words
 */
function showAnswer(model, answer, time) {
  const isValue = typeof answer.value === "number";
  const ranked = Object.entries(answer.probabilities || {}).sort((one, other) => other[1] - one[1]);
  const headline = make("p", { class: "headline" });
  if (isValue) headline.append(make("b", {}, number(answer.value)), make("span", {}, model.target));
  else if (Array.isArray(answer.label)) {
    headline.append(make("b", {}, answer.label.join(", ") || "none of the labels"));
    headline.append(make("span", {}, "labels with a probability above 50 %"));
  } else {
    headline.append(make("b", {}, String(answer.label)));
    const own = (answer.probabilities || {})[answer.label];
    // below the threshold the label is no class
    const told = own === undefined ? "below the threshold; the likeliest has " + percent(ranked[0][1]) : "with a probability of " + percent(own);
    headline.append(make("span", {}, told));
  }
  const strange = (answer.strange || []).map((item) => (typeof item === "string" ? item : item.message));
  say(headline.textContent + ". " + strange.map(sentence).join(" "));
  show(
    headline,
    strange.length ? warning(strange) : null,
    ranked.length ? bars(ranked) : null,
    make("div", { id: "why" }),
    make("p", { class: "time" }, time),
  );
}

function warning(strange) {
  const items = strange.map((item) => make("li", {}, sentence(item)));
  const about = strange.length === 1 ? "Something about this input is unusual" : "Some things about this input are unusual";
  return make("div", { class: "alert", id: "strange" }, make("p", {}, make("strong", {}, about)), make("ul", {}, ...items));
}

function bars(ranked) {
  const worthy = ranked.filter(([, probability]) => probability >= WORTH_A_BAR).length;
  const list = make("ol", { class: "bars", "aria-label": "probabilities" });
  const rows = ranked.map(([name, probability], place) => {
    const fill = make("i");
    fill.style.width = 100 * probability + "%";
    return make(
      "li",
      { class: place === 0 ? "first" : null },
      make("span", { class: "label" }, name),
      make("span", { class: "n" }, percent(probability)),
      make("span", { class: "track", "aria-hidden": "true" }, fill),
    );
  });
  return withMore(list, rows, Math.min(FIRST_BARS, Math.max(FEWEST_BARS, worthy)));
}

/** The list with its first rows, and a button for the others. */
function withMore(list, rows, most) {
  list.append(...rows.slice(0, most));
  if (rows.length <= most) return list;
  const more = make("button", { type: "button", class: "link" }, "Show all " + number(rows.length));
  more.addEventListener("click", () => {
    list.append(...rows.slice(most));
    more.remove();
  });
  return make("div", {}, list, more);
}

function showWhyWaiting() {
  find("why")?.replaceChildren(make("p", { class: "quiet", id: "why-waiting" }, "Finding out why …"));
}

function showWhyError(words) {
  find("why")?.replaceChildren(make("p", { class: "told wrong" }, "No explanation: " + sentence(words.what)));
}

/** For rows: what the answer would be without each column's own value. */
function showEffects(explanation) {
  const place = find("why");
  if (!place) return;
  const isValue = explanation.label === null;
  const moved = explanation.effects.filter((item) => item.effect !== 0);
  const largest = Math.max(...moved.map((item) => Math.abs(item.effect)), Number.MIN_VALUE);
  const rows = moved.map((item) => {
    const fill = make("i");
    const width = (50 * Math.abs(item.effect)) / largest;
    fill.style.width = width + "%";
    fill.style.left = (item.effect > 0 ? 50 : 50 - width) + "%";
    const typical = item.typical === null ? "missing" : item.typical === "" ? "none" : shown(item.typical);
    return make(
      "li",
      { class: item.effect > 0 ? "for" : "against" },
      make(
        "span",
        { class: "label" },
        item.column + " ",
        make("small", {}, shorter(shown(item.value)) + ", typically " + typical),
      ),
      make("span", { class: "n" }, signed(item.effect, isValue)),
      make("span", { class: "track split", "aria-hidden": "true" }, fill),
    );
  });
  const answer = isValue ? "the value" : "the probability of “" + explanation.label + "”";
  const about = rows.length
    ? "How far each column moves " + answer + " from where it would be with a typical value. Orange raises it, blue lowers it."
    : "Every value of this row is a typical one, so none of them moves the answer.";
  const list = make("ol", { class: "bars", "aria-label": "effects of the columns" });
  place.replaceChildren(
    make("h3", {}, "Why"),
    make("p", { class: "quiet" }, about),
    rows.length ? withMore(list, rows, FIRST_BARS) : "",
    ...Object.entries(explanation.words || {}).map(([name, words]) => shadedWords(name, words)),
  );
}

/** A text whose words are shaded by what the answer would lose without each of them. */
function shadedWords(name, words) {
  const largest = Math.max(...words.map((word) => Math.abs(word.effect)), Number.MIN_VALUE);
  const parts = words.map((word) => {
    const much = Math.round((70 * Math.abs(word.effect)) / largest);
    if (much === 0) return word.text;
    const mark = make("mark", { class: word.effect > 0 ? "for" : "against", title: signed(word.effect, false) }, word.text);
    mark.style.setProperty("--much", much + "%");
    return mark;
  });
  return make("div", {}, make("h3", {}, name), make("p", { class: "words" }, ...parts));
}

function shorter(text) {
  return text.length > 80 ? text.slice(0, 77) + "…" : text;
}

function shown(value) {
  if (value === null || value === undefined) return "missing";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? number(value) : String(value);
}
