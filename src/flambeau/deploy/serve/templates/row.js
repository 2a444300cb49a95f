// The form for rows of a table: one field a column, made from the schema; a pasted row fills it.

const MOST_CHOICES = 30;

/** Arguments as of `pictureForm`. */
function rowForm(model, place, page) {
  const fields = model.columns.map((column, number) => field(column, "column-" + number));
  const form = make("form", { class: "form", novalidate: true, autocomplete: "off" });
  const pasted = make("textarea", { id: "pasted", spellcheck: "false", rows: 3, placeholder: "age,city\n42,Oslo", oninput: () => fill(pasted.value) });
  const told = make("p", { class: "told", role: "status" });
  form.append(
    make(
      "details",
      {},
      make("summary", {}, "Paste a row"),
      make("label", { class: "quiet", for: "pasted" }, "CSV or tab-separated, with or without names, or a JSON object"),
      pasted,
      told,
    ),
    make("div", { class: "fields" }, ...fields.map((one) => one.element)),
    make(
      "p",
      { class: "actions" },
      make("button", { class: "main", id: "predict" }, "Predict"),
      fields.some((one) => one.column.typical !== null)
        ? make("button", { type: "button", id: "typical", onclick: () => set((one) => one.column.typical) }, "Typical values")
        : null,
      make("button", { type: "button", onclick: () => set(() => null) }, "Clear"),
    ),
  );
  form.addEventListener("input", (event) => event.target !== pasted && page.changed());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  place.replaceChildren(form);

  function send() {
    const wrong = fields.find((one) => one.wrong());
    if (wrong) {
      wrong.control.focus();
      showError({ what: "'" + wrong.column.name + "' is no number", expected: "a number such as " + (wrong.column.typical ?? 1.5) });
      return;
    }
    page.send({ row: Object.fromEntries(fields.map((one) => [one.column.name, one.get()])) });
  }

  function set(value) {
    for (const one of fields) one.put(value(one));
    page.changed();
  }

  function fill(text) {
    if (!text.trim()) {
      told.textContent = "";
      return;
    }
    const found = parseRow(text, model.columns.map((column) => column.name), model.target);
    told.classList.toggle("wrong", Boolean(found.problem));
    told.textContent = found.problem || "";
    if (!found.row) return;
    let filled = 0;
    for (const one of fields) {
      // a pasted path opens no file
      if (!(one.column.name in found.row) || one.column.kind === "image") continue;
      one.put(found.row[one.column.name]);
      filled += 1;
    }
    told.textContent = count(filled, "field") + " filled of " + fields.length + ".";
    page.changed();
  }

  return {
    empty: "Fill in what you know and press Predict. Empty fields count as missing.",
    wantsWhy: () => true,
    again: send,
    body: (input) => ({ body: JSON.stringify({ row: input.row }), headers: { "content-type": "application/json" } }),
    explained: showEffects,
    asked() {},
    close() {},
  };
}

/** A picture of a row: chosen as a file, shown small, sent as a data address; `get` gives null for none. */
function pictureField(column, id) {
  let address = null;
  const shownSmall = make("img", { class: "small", alt: "", hidden: true });
  const hint = make("p", { class: "hint", id: id + "-hint" }, "a picture, or nothing");
  const control = make("input", { id, type: "file", accept: "image/*,.tif,.tiff,.bmp,.pgm,.ppm,.pnm", "aria-describedby": hint.id });
  const keep = (found) => {
    address = found;
    shownSmall.hidden = found === null;
    if (found) shownSmall.src = found;
  };
  control.addEventListener("change", () => {
    keep(null);
    const file = control.files[0];
    if (!file) return;
    const reader = new FileReader();
    reader.onload = () => file === control.files[0] && keep(reader.result);
    reader.readAsDataURL(file);
  });
  // what cannot be shown here, such as a TIFF, is sent all the same
  shownSmall.onerror = () => (shownSmall.hidden = true);
  return {
    column,
    control,
    element: make("div", { class: "field" }, make("label", { for: id }, column.name), control, shownSmall, hint),
    wrong: () => false,
    get: () => address,
    put() {
      control.value = "";
      keep(null);
    },
  };
}

/** One labelled control with its hint; `get` gives what the server takes, null for missing. */
function field(column, id) {
  if (column.kind === "image") return pictureField(column, id);
  const hint = make("p", { class: "hint", id: id + "-hint" });
  const control = makeControl(column, id);
  control.setAttribute("aria-describedby", hint.id);
  const usual = hintOf(column);
  hint.textContent = usual;
  const look = () => {
    const strange = strangeness(column, control);
    hint.textContent = strange || usual;
    hint.classList.toggle("strange", Boolean(strange));
  };
  control.addEventListener("input", look);
  const element = make("div", { class: column.kind === "text" ? "field wide" : "field" }, make("label", { for: id }, column.name), control, hint);
  if (control.list === null && column.values.length > MOST_CHOICES && column.kind === "category") {
    element.append(make("datalist", { id: id + "-values" }, ...column.values.map((value) => make("option", { value }))));
    control.setAttribute("list", id + "-values");
  }
  return {
    column,
    control,
    element,
    wrong: () => control.validity.badInput,
    get: () => readControl(column, control),
    put(value) {
      control.value = value === null || value === undefined ? "" : written(column, value, control);
      look();
    },
  };
}

function makeControl(column, id) {
  const typical = column.typical === null ? "" : String(column.typical);
  if (column.kind === "number") return make("input", { id, type: "number", step: "any", inputmode: "decimal", placeholder: typical });
  if (column.kind === "text") return make("textarea", { id, rows: 4, maxlength: 200000 });
  if (column.kind === "date") {
    const type = datePicker(column.date_format);
    return make("input", { id, type, step: type === "datetime-local" ? 1 : null, placeholder: typical });
  }
  const choices = column.kind === "boolean" ? [["true", "yes"], ["false", "no"]] : column.values.map((value) => [value, value]);
  if (column.kind !== "boolean" && (choices.length > MOST_CHOICES || choices.length === 0)) return make("input", { id, type: "text", placeholder: typical });
  const options = choices.map(([value, text]) => make("option", { value }, text));
  return make("select", { id }, make("option", { value: "" }, "missing"), ...options);
}

function hintOf(column) {
  if (column.kind === "number") return range(column.low, column.high);
  if (column.kind === "date" && datePicker(column.date_format) === "text") return "written as " + column.date_format;
  if (column.kind === "category" && column.values.length > MOST_CHOICES) return count(column.values.length, "known value");
  return "";
}

function strangeness(column, control) {
  if (control.validity.badInput) return "this is no number";
  if (control.value === "") return "";
  if (column.kind === "number" && isNumber(column.low) && isNumber(column.high)) {
    const value = Number(control.value);
    if (value < column.low || value > column.high) return "outside of " + range(column.low, column.high) + ", where the model was trained";
  }
  const isFree = column.kind === "category" && control.tagName === "INPUT" && column.complete;
  return isFree && !column.values.includes(control.value) ? "the model was not trained on this value" : "";
}

function readControl(column, control) {
  if (control.value === "") return null;
  if (column.kind === "number") return Number(control.value);
  if (column.kind === "boolean") return control.value === "true";
  if (column.kind === "date" && control.type !== "text") return writeDate(control.value, column.date_format);
  return control.value;
}
