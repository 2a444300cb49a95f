// The page: which model, which form, and the way to the server and back.

// One form a kind of data; a new kind is one function and one row here.
const FORMS = { pictures: pictureForm, table: rowForm, series: seriesForm, chat: talkForm, language: writeForm, generate: makeForm };
const INPUTS = { pictures: "Picture", series: "Past rows", language: "Text", generate: "Pictures" };
const ANSWERS = { chat: "Conversation", language: "What it writes", generate: "What it makes" };
const NOUNS = { chat: "question", language: "token", generate: "picture" };
const PURPOSES = {
  chat: "Answers questions with how sure it is, and says so where it does not know.",
  language: "Writes on behind the beginning of a text.",
  generate: "Makes pictures like those that it was trained on.",
};

let models = JSON.parse(find("models").textContent);
let model = null;
let form = null;
let key = ""; // in memory only
let running = new AbortController();

const page = {
  send: ask,
  changed() {
    running.abort();
    if (hasAnswer()) showStale(make("button", { type: "button", class: "link", onclick: form.again }, "Predict again"));
    else showEmpty(form.empty);
  },
};

function choose(place) {
  running.abort();
  form?.close();
  model = models[place];
  find("title").textContent = model.name;
  find("purpose").textContent = purposeOf(model);
  find("score").textContent = scoreOf(model);
  find("input-title").textContent = INPUTS[model.kind] ?? "Row";
  find("answer-title").textContent = ANSWERS[model.kind] ?? "Answer";
  document.querySelector("main").classList.toggle("dialogue", model.kind === "chat");
  form = FORMS[model.kind](model, find("input"), page);
  showEmpty(form.empty);
}

function purposeOf(model) {
  if (PURPOSES[model.kind]) return PURPOSES[model.kind];
  const from = model.kind === "pictures" ? "a picture" : count(model.columns.length, "column");
  if (model.task === "forecast") return "Forecasts " + listed(model.series.targets) + ", " + count(model.series.horizon, "step") + " ahead, from the last " + count(model.series.lookback, "row") + ".";
  if (model.task === "regression") return "Predicts " + model.target + " from " + from + ".";
  const what = model.task === "multilabel" ? "which of " + count(model.classes.length, "label") + " apply" : "which of " + number(model.classes.length) + " classes it is";
  return "Tells from " + from + " " + what + ": " + listed(model.classes) + ".";
}

function scoreOf(model) {
  const version = "version " + model.version;
  const tested = model.score;
  if (!tested) return version;
  const interval = isNumber(tested.low) && isNumber(tested.high) ? " (95 % interval " + score(tested.low) + " to " + score(tested.high) + ")" : "";
  const samples = " on " + count(tested.rows, NOUNS[model.kind] ?? "sample") + (tested.folds ? ", by " + tested.folds + " of models like this one" : " that training never saw");
  return version + " · " + tested.metric + " " + score(tested.value) + interval + samples;
}

/** Ask for the answer, and then for the reasons, so that the answer never waits for them. */
async function ask(input) {
  running.abort();
  running = new AbortController();
  const signal = running.signal;
  const mine = form;
  mine.asked();
  (mine.waiting ?? showWaiting)();
  const answered = await request(input, false, signal);
  if (!answered || signal.aborted) return;
  if (answered.words) {
    (mine.failed ?? showError)(answered.words, answered.again ? () => page.send(input) : null);
    (mine.reveal ?? reveal)();
    return;
  }
  (mine.show ?? showAnswer)(model, answered.answer, "Answered in " + count(Math.max(1, Math.round(answered.elapsed)), "millisecond") + ", the way to the server and back included.");
  (mine.reveal ?? reveal)();
  if (!mine.wantsWhy()) return;
  showWhyWaiting();
  const explained = await request(input, true, signal);
  if (!explained || signal.aborted) return;
  if (explained.words) showWhyError(explained.words);
  else mine.explained(explained.answer.why);
}

/** {answer, elapsed} or {words, again}; null where another request has taken its place. */
async function request(input, explain, signal) {
  const { body, headers } = form.body(input);
  const started = performance.now();
  const found = await reach(model.url + (explain ? "?explain=1" : ""), { method: "POST", body, headers, signal });
  return found && (found.words ? found : { answer: found.value, elapsed: performance.now() - started });
}

/** {value} or {words, again} from an address of this server; asks for the key where the server does. Null if aborted. */
async function reach(address, options) {
  let response;
  let value = null;
  try {
    const headers = { ...options.headers, ...(key ? { authorization: "Bearer " + key } : {}) };
    response = await fetch(address, { ...options, headers, credentials: "same-origin" });
    value = await response.json();
  } catch (error) {
    if (error.name === "AbortError") return null;
    const hint = "it may have been stopped, or the connection is gone";
    if (!response) return { words: { what: "the server cannot be reached", hint }, again: true };
  }
  if (response.status === 401 && (await askKey(key !== ""))) return reach(address, options);
  if (response.ok && value !== null) return { value };
  return { words: wordsOf(value, response), again: [401, 408, 429, 500, 502, 503, 504].includes(response.status) };
}

/** On a narrow screen the answer stands below the input; a picture stays in sight beside it. */
function reveal() {
  if (window.matchMedia("(min-width: 58rem)").matches) return;
  if (model.kind === "pictures") find("answer").firstElementChild.scrollIntoView({ block: "nearest" });
  else find("answer-title").scrollIntoView({ block: "start" });
}

function wordsOf(value, response) {
  const words = { ...value };
  if (typeof words.what !== "string") words.what = "the server answered with status " + response.status;
  const wait = response.headers.get("retry-after");
  if (wait) words.hint = "try again in " + count(Number(wait), "second");
  return words;
}

/** Ask the person for the key; false where none is given. */
function askKey(wasWrong) {
  const dialog = find("key-dialog");
  if (wasWrong) find("key-note").textContent = "The server does not accept that key. Is it complete?";
  find("key").value = "";
  find("key-cancel").onclick = () => dialog.close("cancel");
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        if (dialog.returnValue === "ok") key = find("key").value.trim();
        resolve(dialog.returnValue === "ok" && key !== "");
      },
      { once: true },
    );
  });
}

/** A server with a key tells of its models only where the key is given. */
async function start() {
  if (models.length === 0) {
    const found = await reach("page.json", {});
    if (found.words) {
      showError(found.words, start);
      return;
    }
    models = found.value;
  }
  const chooser = find("model");
  chooser.replaceChildren(...models.map((one, place) => make("option", { value: place }, one.name + " · " + one.version)));
  chooser.addEventListener("change", () => choose(Number(chooser.value)));
  find("chooser").hidden = models.length < 2;
  choose(0);
}

start();
