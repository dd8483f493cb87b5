// The settings menu: theme, and whether the panel of live data is shown.
import { byId, setAttribute } from "./dom.js";
import { readItem, writeItem } from "./storage.js";
import { chooseTheme, chosenTheme, onThemeChange } from "./theme.js";

export class Settings {
  /** @param {() => void} panelShown */
  constructor(panelShown) {
    this.panelShown = panelShown;
    const theme = byId("theme");
    theme.value = chosenTheme();
    theme.addEventListener("change", () => chooseTheme(theme.value));
    onThemeChange(() => (theme.value = chosenTheme()));
    for (const id of ["show-streams", "toggle-streams"])
      byId(id).addEventListener("click", () => this.#toggleStreams());
    this.#drawStreams(readItem("streams-hidden") ?? matchMedia("(width < 1180px)").matches);
  }

  #toggleStreams() {
    const isHidden = byId("app").dataset.streams !== "hidden";
    writeItem("streams-hidden", isHidden);
    this.#drawStreams(isHidden);
    this.panelShown();
  }

  #drawStreams(isHidden) {
    byId("app").dataset.streams = isHidden ? "hidden" : "shown";
    byId("show-streams").checked = !isHidden;
    setAttribute(byId("toggle-streams"), "aria-pressed", !isHidden);
  }
}
