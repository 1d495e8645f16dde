// The theme, before the page is painted: "light" or "dark" if the user chose one, else as the system has it.
"use strict";
{
  const chosen = localStorage.getItem("gemma.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
