// What the models are, and a button for each that saves its results.

function describe({ name, bytes, contract: { input, labels } }) {
  const line = document.createElement("li");
  const title = Object.assign(document.createElement("strong"), { textContent: name });
  const classes = `${labels.length} ${labels.length === 1 ? "class" : "classes"}`;
  const size = input.size_hw.join(" × ");
  line.append(title, ` ${(bytes / 1e6).toFixed(2)} MB, ${input.tensor.dtype}, ${size}, ${classes}`);
  return line;
}

/** @param {(index: number) => void} save */
export function showModels(models, save) {
  document.title = `quantdet: ${models.map(({ name }) => name).join(", ")}`;
  document.getElementById("models").replaceChildren(...models.map(describe));
  const buttons = models.map(({ name }, index) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "small" });
    button.textContent = models.length > 1 ? `Save ${name}` : "Save";
    button.addEventListener("click", () => save(index));
    return button;
  });
  document.getElementById("downloads").replaceChildren(...buttons);
}
