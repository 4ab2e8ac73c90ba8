"use strict";

// Not a module: it runs before the page is painted, so that a chosen theme does not flash.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const shown = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const chosen = localStorage.getItem("attune-theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      const other = shown() === "dark" ? "light" : "dark";
      button.setAttribute("aria-label", `Switch to ${other} colours`);
      button.title = button.getAttribute("aria-label");
    };
    button.addEventListener("click", () => {
      root.dataset.theme = shown() === "dark" ? "light" : "dark";
      localStorage.setItem("attune-theme", root.dataset.theme);
      label();
    });
    dark.addEventListener("change", label);
    label();
  });
})();
