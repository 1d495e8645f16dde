// The button that goes round: as the system, light, dark. theme.js reads the choice at the next start.
const KEY = "gemma.theme";
const NAMES = { system: "Auto", light: "Light", dark: "Dark" };

function chosen() {
  return document.documentElement.dataset.theme ?? "system";
}

function show(button) {
  button.textContent = NAMES[chosen()];
  button.setAttribute("aria-label", `Theme: ${NAMES[chosen()].toLowerCase()}`);
}

function choose(theme) {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(KEY);
  } else {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(KEY, theme);
  }
}

export function setUpThemeSwitch(button) {
  button.addEventListener("click", () => {
    const themes = Object.keys(NAMES);
    choose(themes[(themes.indexOf(chosen()) + 1) % themes.length]);
    show(button);
  });
  show(button);
}
