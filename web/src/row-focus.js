// The messages are one tab stop: arrow keys move between them and between the elements of one.

/**
 * Moves the focus for an arrow key, Enter or the menu key.
 * @param {KeyboardEvent} event
 * @param {HTMLElement} list
 * @returns {boolean} whether the key was used
 */
export function moveRowFocus(event, list) {
  const active = /** @type {HTMLElement} */ (document.activeElement);
  const row = /** @type {HTMLElement|null} */ (active.closest?.(".msg"));
  if (event.key === "ArrowUp" || event.key === "ArrowDown") return moveRow(event.key, row, list);
  if (!row) return false;
  const controls = [...row.querySelectorAll("a, button")].filter((one) => one.getClientRects().length);
  const index = controls.indexOf(active);
  if (event.key === "ArrowRight") return focus(controls[index + 1]);
  if (event.key === "ArrowLeft") return focus(index > 0 ? controls[index - 1] : row);
  if (event.key === "Escape") return focus(document.getElementById("message-input"));
  if (active === row && (event.key === "Enter" || event.key === "ContextMenu")) {
    row.querySelector(".more")?.click();
    return true;
  }
  return false;
}

function moveRow(key, row, list) {
  const rows = [...list.querySelectorAll(".msg")];
  if (!row) return focus(rows.at(-1));
  const index = rows.indexOf(row) + (key === "ArrowDown" ? 1 : -1);
  return focus(rows[index] ?? row);
}

function focus(node) {
  node?.focus();
  return true;
}
