// Models that are asked: a dialogue with a chatbot, a text that is written on, pictures that are made.

const MOST_SAID = 200;
const JSON_HEADERS = { "content-type": "application/json" };

/** What the forms of this file share with `page`. */
function askedForm(parts) {
  const body = (input) => ({ body: JSON.stringify({ row: input }), headers: JSON_HEADERS });
  return { wantsWhy: () => false, body, explained() {}, asked() {}, close() {}, ...parts };
}

/** A dialogue. Arguments as of `pictureForm`. */
function talkForm(model, place, page) {
  const writes = model.fields.some((one) => one.name === "write");
  const said = make("ol", { class: "talk", "aria-label": "what was said" });
  const input = make("input", { id: "question", type: "text", autocomplete: "off", maxlength: 2000, placeholder: "Type a question" });
  const write = make("input", { type: "checkbox", id: "write" });
  const form = make("form", { class: "form", novalidate: true, autocomplete: "off" });
  let turn = 0;
  let last = "";
  form.append(
    make("label", { class: "unseen", for: "question" }, "Question"),
    make("div", { class: "ask" }, input, make("button", { class: "main", id: "predict" }, "Ask")),
    writes ? make("label", { class: "switch" }, write, "Where it does not know, show what its small net would write") : "",
    make("p", {}, make("button", { type: "button", class: "link", onclick: begin }, "Begin anew")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = input.value.trim();
    if (!question) return;
    input.value = "";
    send(question);
  });
  place.replaceChildren(form);

  function begin() {
    turn = 0;
    said.replaceChildren();
    page.changed();
    showEmpty("Nothing has been said yet.");
    input.focus();
  }

  function send(question) {
    last = question;
    put("you", make("p", {}, question));
    page.send({ question, turn: turn++, ...(write.checked ? { write: true } : {}) });
  }

  /** Add what somebody says; what was still waiting goes. */
  function put(who, ...parts) {
    said.querySelector(".waits")?.remove();
    said.append(make("li", { class: who }, make("span", { class: "unseen" }, who === "you" ? "You: " : "Bot: "), ...parts));
    while (said.children.length > MOST_SAID) said.firstElementChild.remove();
    if (!said.isConnected) show(said);
    said.lastElementChild.scrollIntoView({ block: "nearest" });
  }

  return askedForm({
    empty: "Nothing has been said yet.",
    again: () => send(last),
    waiting: () => put("bot waits", make("p", {}, "…")),
    failed(words, retry) {
      const again = retry ? make("button", { type: "button", class: "link", onclick: retry }, "Try again") : null;
      const hint = words.hint ? " " + sentence(words.hint) : "";
      put("bot wrong", make("p", { id: "error" }, sentence(words.what) + hint + " ", again));
      say("This went wrong: " + words.what);
    },
    show(one, answer) {
      const fill = make("i");
      fill.style.width = 100 * answer.confidence + "%";
      const told = answer.knows ? percent(answer.confidence) + " sure" : "it does not know; its best answer has " + percent(answer.confidence);
      put(
        answer.knows ? "bot" : "bot unsure",
        make("p", {}, answer.answer),
        answer.written ? make("p", { class: "perhaps" }, "perhaps: " + answer.written) : null,
        make("div", { class: "sure" }, make("span", { class: "track", "aria-hidden": "true" }, fill), make("small", {}, told)),
      );
      say(answer.answer + " " + told + ".");
    },
    reveal() {},
  });
}

/** A number of a request, with what it may be. */
function numberField(fields, name, label, hint) {
  const field = fields.find((one) => one.name === name);
  const step = name === "temperature" ? 0.1 : 1;
  const limits = { min: field.low, max: field.high, step };
  const control = make("input", { id: name, type: "number", value: field.default, inputmode: "decimal", ...limits });
  const told = hint ?? number(field.low) + " to " + number(field.high);
  const element = make("div", { class: "field" }, make("label", { for: name }, label), control, make("p", { class: "hint" }, told));
  const isWrong = () => control.value === "" || control.validity.badInput || control.validity.rangeUnderflow || control.validity.rangeOverflow;
  return { name, label, control, element, isWrong, told, get: () => (name === "temperature" ? Number(control.value) : Math.round(Number(control.value))) };
}

/** A form of numbers and perhaps a text before them; `word` stands on its button. */
function numbersForm(place, page, before, numbers, word, more) {
  const form = make("form", { class: "form", novalidate: true, autocomplete: "off" });
  const seed = numbers.find((one) => one.name === "seed");
  const another = make("button", { type: "button", onclick: next }, more);
  form.append(
    ...before,
    make("div", { class: "fields" }, ...numbers.map((one) => one.element)),
    make("p", { class: "actions" }, make("button", { class: "main", id: "predict" }, word), another),
  );
  form.addEventListener("input", () => page.changed());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  place.replaceChildren(form);

  function next() {
    seed.control.value = String(Number(seed.control.value) + 1);
    send();
  }

  function send() {
    const wrong = numbers.find((one) => one.isWrong());
    if (wrong) {
      wrong.control.focus();
      showError({ what: "'" + wrong.label + "' cannot be that", expected: wrong.told });
      return;
    }
    const asked = Object.fromEntries(numbers.map((one) => [one.name, one.get()]));
    for (const control of before.flatMap((one) => [...one.querySelectorAll("textarea")])) asked[control.id] = control.value;
    page.send(asked);
  }
  return send;
}

/** A text and what is written behind it. Arguments as of `pictureForm`. */
function writeForm(model, place, page) {
  const longest = model.fields.find((one) => one.name === "prompt").high;
  const prompt = make("textarea", { id: "prompt", rows: 6, maxlength: longest, placeholder: "Once upon a time" });
  const numbers = [
    numberField(model.fields, "length", "Length in tokens"),
    numberField(model.fields, "temperature", "Temperature", "0 takes the likeliest token, 1 draws as the model says"),
    numberField(model.fields, "top_k", "Likeliest tokens", "only so many are drawn from; 0 for all"),
    numberField(model.fields, "seed", "Seed", "equal seeds write equal texts"),
  ];
  let begun = "";
  const before = [make("div", { class: "field wide" }, make("label", { for: "prompt" }, "How it begins"), prompt)];
  const again = numbersForm(place, { ...page, send: (asked) => page.send(((begun = asked.prompt), asked)) }, before, numbers, "Write", "Write another");
  return askedForm({
    empty: "Type how a text begins, or nothing, and press Write.",
    again,
    show(one, answer, time) {
      const text = make("p", { class: "words headline" }, make("span", {}, begun), answer.text);
      say("Written: " + count(answer.tokens, "token") + ".");
      show(text, answer.strange.length ? warning(answer.strange) : null, make("p", { class: "time" }, count(answer.tokens, "token") + ". " + time));
    },
  });
}

/** Pictures from noise. Arguments as of `pictureForm`. */
function makeForm(model, place, page) {
  const numbers = [numberField(model.fields, "count", "How many"), numberField(model.fields, "seed", "Seed", "equal seeds make equal pictures")];
  const again = numbersForm(place, page, [], numbers, "Make pictures", "Make others");
  return askedForm({
    empty: "Press Make pictures.",
    again,
    show(one, answer, time) {
      const pictures = answer.pictures.map((source, at) => make("img", { src: source, alt: "made picture " + (at + 1) }));
      say(count(pictures.length, "picture") + " made.");
      show(make("div", { class: "made headline" }, ...pictures), make("p", { class: "time" }, time));
    },
  });
}
