// The form for pictures: drop, choose, paste or take one; its preview with the map of what mattered.

const SMALL_SIDE = 100;

/**
 * @param {object} model of the page's list
 * @param {Element} place where the form stands
 * @param {{send: function(object): void, changed: function(): void}} page
 */
function pictureForm(model, place, page) {
  const thing = model.scans ? "scan" : "picture";
  let picture = null; // {file, image, canvas, explanation}
  const state = { wantsWhy: true };
  const area = make("div");
  place.replaceChildren(area);
  const listeners = new AbortController();
  const options = { signal: listeners.signal };
  document.addEventListener("paste", (event) => take(event.clipboardData?.files, event), options);
  // Dropped beside the zone, a file would replace the page.
  document.addEventListener("dragover", (event) => event.preventDefault(), options);
  document.addEventListener("dragleave", () => mark(false), options);
  document.addEventListener("drop", (event) => take(event.dataTransfer?.files, event), options);
  document.addEventListener("dragenter", () => mark(true), options);
  showZone();

  function mark(over) {
    area.querySelector(".drop, .frame")?.classList.toggle("over", over);
  }

  function take(files, event) {
    mark(false);
    if (event && event.type === "drop") event.preventDefault();
    if (!files || files.length === 0) return;
    event?.preventDefault();
    showPicture(files[0], files.length);
    page.send({ file: files[0] });
  }

  function chooser(attributes) {
    return make("input", {
      type: "file",
      class: "unseen",
      accept: "image/*,.tif,.tiff,.bmp,.pgm,.ppm,.pnm,.dcm,.dicom,.ima,.nii,.gz",
      ...attributes,
      onchange: (event) => take(event.target.files),
    });
  }

  function showZone() {
    const zone = make(
      "label",
      { class: "drop" },
      arrow(),
      make("b", { class: "mouse" }, "Drop a " + thing + " here"),
      make("span", { class: "quiet mouse" }, "or ", make("u", {}, "choose one"), ", or paste it"),
      make("b", { class: "touch" }, "Choose a " + thing),
      chooser({ id: "file", "aria-label": "Choose a " + thing }),
    );
    area.replaceChildren(zone, ...camera());
  }

  function camera() {
    if (model.scans) return [];
    return [make("label", { class: "button camera" }, "Take a photo", chooser({ id: "camera", capture: "environment" }))];
  }

  function showPicture(file, files) {
    if (picture) URL.revokeObjectURL(picture.image.src);
    const image = make("img", { alt: "the " + thing + " that you gave", src: URL.createObjectURL(file) });
    const canvas = make("canvas", { role: "img", "aria-label": "no map of what mattered yet" });
    const frame = make("div", { class: "frame" }, image, canvas);
    picture = { file, image, canvas, explanation: null };
    image.addEventListener("load", () => fitFrame(frame, image.naturalWidth, image.naturalHeight));
    image.addEventListener("error", () => {
      const note = make("p", { class: "none quiet" }, "There is no preview: your browser cannot show this file.");
      fitFrame(frame, 4, 3);
      frame.replaceChildren(note);
    });
    fitFrame(frame, 4, 3);
    const box = make("input", { type: "checkbox", checked: state.wantsWhy, onchange: (event) => toggle(event.target.checked) });
    const hadFocus = area.contains(document.activeElement);
    const others = files > 1 ? ", the first of " + files + " files" : "";
    area.replaceChildren(
      make(
        "div",
        { class: "seen" },
        frame,
        make("p", { class: "name quiet" }, file.name + " · " + bytes(file.size) + others),
        make("label", { class: "switch" }, box, "Show what mattered"),
        make("p", { class: "scale", id: "scale", hidden: true }),
        make(
          "p",
          { class: "actions" },
          make("label", { class: "button" }, "Another " + thing, chooser({ id: "file", "aria-label": "Choose another " + thing })),
          ...camera(),
        ),
      ),
    );
    if (hadFocus) find("file").focus();
  }

  function toggle(wanted) {
    state.wantsWhy = wanted;
    draw();
    if (wanted && picture && !picture.explanation) page.send({ file: picture.file });
  }

  function draw() {
    const scale = find("scale");
    const explanation = picture?.explanation;
    const visible = Boolean(state.wantsWhy && explanation);
    picture.canvas.style.opacity = visible ? "1" : "0";
    scale.hidden = !visible;
    if (!visible) return;
    drawHeat(picture.canvas, explanation, picture.image);
    const [raises, lowers] = explanation.label === null ? ["raises the value", "lowers it"] : ["speaks for “" + explanation.label + "”", "against it"];
    scale.replaceChildren(
      make("span", {}, make("i"), raises),
      make("span", {}, make("i", { class: "against" }), lowers),
    );
    picture.canvas.setAttribute("aria-label", "Map of what " + raises + ". " + find("why").textContent);
  }

  return {
    empty: "Give a " + thing + ", and the model's answer appears here.",
    wantsWhy: () => state.wantsWhy,
    body: (input) => ({ body: input.file, headers: { "content-type": input.file.type || "application/octet-stream" } }),
    explained(explanation) {
      picture.explanation = explanation;
      find("why").replaceChildren(make("h3", {}, "Why"), make("p", { class: "quiet" }, strongest(explanation)));
      draw();
    },
    asked() {
      if (picture) picture.explanation = null;
    },
    close() {
      listeners.abort();
      if (picture) URL.revokeObjectURL(picture.image.src);
    },
  };
}

/** The frame as wide as the column allows, at most as high as the style says, with the picture's own proportions. */
function fitFrame(frame, width, height) {
  const ratio = Math.min(Math.max(width / height, 0.2), 5);
  frame.style.aspectRatio = width + " / " + height;
  frame.style.width = "min(100%, calc(var(--tallest) * " + ratio + "))";
  frame.querySelector("img")?.classList.toggle("tiny", Math.max(width, height) < SMALL_SIDE);
}

/** Paint the map over the part of the picture that the model sees: a crop shows less of it, a pad more. */
function drawHeat(canvas, explanation, image) {
  const rows = explanation.heat.length;
  const columns = explanation.heat[0].length;
  const [width, height] = [image.naturalWidth || 4, image.naturalHeight || 3];
  const largest = Math.max(...explanation.heat.flat().map(Math.abs), Number.MIN_VALUE);
  const small = make("canvas", { width: columns, height: rows });
  const pixels = new ImageData(columns, rows);
  explanation.heat.flat().forEach((value, place) => {
    const colour = value > 0 ? [255, 106, 19] : [21, 145, 230];
    pixels.data.set([...colour, 215 * Math.pow(Math.abs(value) / largest, 0.8)], 4 * place);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  const scale = 480 / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  let part = [0, 0, width, height];
  if (explanation.fit !== "stretch") {
    const ratios = [explanation.size[1] / width, explanation.size[0] / height];
    const ratio = explanation.fit === "crop" ? Math.max(...ratios) : Math.min(...ratios);
    const seen = [explanation.size[1] / ratio, explanation.size[0] / ratio];
    part = [(width - seen[0]) / 2, (height - seen[1]) / 2, ...seen];
  }
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, ...part.map((side) => side * scale));
}

/** Where the largest value of the map is, and how much it counts, in words. */
function strongest(explanation) {
  const flat = explanation.heat.flat();
  const largest = Math.max(...flat);
  const subject = explanation.label === null ? "the value" : "the probability of “" + explanation.label + "”";
  if (largest <= 0) return "No single spot of the picture raises " + subject + ".";
  const third = (position, size) => Math.min(2, Math.floor((3 * (position + 0.5)) / size));
  const [rows, columns] = [explanation.heat.length, explanation.heat[0].length];
  const place = flat.indexOf(largest);
  const row = ["top", "middle", "bottom"][third(Math.floor(place / columns), rows)];
  const column = ["left", "centre", "right"][third(place % columns, columns)];
  const drop = signed(largest, explanation.label === null).slice(1);
  return "The strongest spot lies at the " + row + " " + column + ": with it hidden, " + subject + " would be lower by about " + drop + ".";
}

function arrow() {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.5", "aria-hidden": "true" })) {
    drawing.setAttribute(name, value);
  }
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", "M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3M12 15V4m0 0L7.5 8.5M12 4l4.5 4.5");
  path.setAttribute("stroke-linecap", "round");
  path.setAttribute("stroke-linejoin", "round");
  drawing.append(path);
  return drawing;
}
