// Asks something in a dialog: a confirmation, or a few fields.
import { createElement, setText } from "./dom.js";
import { texts } from "./texts.js";

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {"text" | "long" | "choice" | "switch" | "colour"} type
 * @property {string|boolean} [value]
 * @property {number} [maxLength]
 * @property {boolean} [isRequired]
 * @property {string} [placeholder]
 * @property {[value: string, text: string, hue?: number][]} [choices]
 */

/** @typedef {Record<string, any>} Values by the fields' names */

/**
 * Shows a dialog until it is cancelled, or `submit` has succeeded. An error of it is shown inside.
 * @param {object} question
 * @param {string} question.title
 * @param {string} [question.text]
 * @param {string} question.action
 * @param {Field[]} [question.fields]
 * @param {(values: Values) => unknown} question.submit
 */
export function ask({ title, text, action, fields = [], submit }) {
  const controls = new Map(fields.map((field) => [field.name, createControl(field)]));
  const error = createElement("p", { class: "error", role: "alert" });
  const submitButton = createElement("button", { class: "primary" }, action);
  const cancel = createElement("button", { class: "plain-button", type: "button" }, texts.cancel);
  const form = createElement(
    "form",
    { method: "dialog" },
    createElement("h2", { id: "dialog-title" }, title),
    text && createElement("p", { id: "dialog-text" }, text),
    ...fields.map((field) => createLabel(field, controls.get(field.name))),
    error,
    createElement("menu", {}, cancel, submitButton),
  );
  const description = text ? { "aria-describedby": "dialog-text" } : {};
  const dialog = createElement("dialog", { "aria-labelledby": "dialog-title", ...description }, form);

  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    submitButton.disabled = true;
    try {
      await submit(readValues(fields, controls));
      dialog.close();
    } catch (reason) {
      const { code, message } = /** @type {any} */ (reason);
      setText(error, texts.refusals[code] ?? message);
    } finally {
      submitButton.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  const first = controls.values().next().value;
  (first ?? submitButton).focus();
  if (fields[0]?.type === "text") first.select();
}

function createControl({ name, type, value, maxLength, isRequired, placeholder, choices = [] }) {
  const attributes = { id: `field-${name}`, name, maxlength: maxLength, required: isRequired, placeholder };
  if (type === "colour") return createColours(name, value, choices);
  if (type === "long") return createElement("textarea", { ...attributes, rows: 3 }, value);
  if (type === "text") return createElement("input", { ...attributes, value, autocomplete: "off" });
  if (type === "switch") return createElement("input", { ...attributes, type: "checkbox", checked: value });
  const options = choices.map(([one, label]) =>
    createElement("option", { value: one, selected: one === value }, label),
  );
  return createElement("select", attributes, ...options);
}

/** One radio button a colour. */
function createColours(name, value, choices) {
  const options = choices.map(([one, label, hue]) => {
    const attributes = { type: "radio", name, value: one, checked: one === value, "aria-label": label, title: label };
    const radio = createElement("input", attributes);
    radio.style.setProperty("--hue", String(hue));
    return radio;
  });
  return createElement("div", { class: "colours", role: "radiogroup", "aria-labelledby": `label-${name}` }, ...options);
}

function createLabel({ name, label, type }, control) {
  if (type === "colour") {
    const heading = createElement("span", { id: `label-${name}`, class: "field-label" }, label);
    return createElement("div", { class: "dialog-field" }, heading, control);
  }
  const attributes = { for: `field-${name}` };
  if (type === "switch") return createElement("label", { ...attributes, class: "check" }, control, label);
  return createElement("div", { class: "dialog-field" }, createElement("label", attributes, label), control);
}

/** @returns {Values} */
function readValues(fields, controls) {
  return Object.fromEntries(
    fields.map(({ name, type }) => {
      const control = controls.get(name);
      if (type === "colour") return [name, control.querySelector(":checked")?.value ?? ""];
      return [name, type === "switch" ? control.checked : control.value.trim()];
    }),
  );
}
