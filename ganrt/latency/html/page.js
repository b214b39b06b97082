(() => {
  const root = document.documentElement, tip = document.getElementById("tip");
  root.classList.add("scripted");
  const hide = () => { tip.hidden = true; };
  const show = (event) => {
    const on = event.target.closest?.("[data-tip]");
    if (!on) return hide();
    tip.textContent = on.dataset.tip;
    tip.hidden = false;
    const at = event.clientX === undefined ? on.getBoundingClientRect() : { left: event.clientX, top: event.clientY };
    const left = Math.min(at.left + 14, innerWidth - tip.offsetWidth - 8);
    const top = at.top + 18 + tip.offsetHeight > innerHeight ? at.top - tip.offsetHeight - 10 : at.top + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${top}px`;
  };
  addEventListener("pointermove", show);
  addEventListener("pointerdown", show);
  addEventListener("focusin", show);
  addEventListener("scroll", hide, { passive: true });
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.previousElementSibling.textContent);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
      }
    });
  }
  const dark = matchMedia("(prefers-color-scheme: dark)"), theme = document.createElement("button");
  theme.type = "button";
  let chosen = dark.matches;
  const name = () => { theme.textContent = chosen ? "light" : "dark"; };
  theme.addEventListener("click", () => {
    chosen = !chosen;
    root.style.colorScheme = chosen ? "dark" : "light";
    name();
  });
  name();
  document.querySelector("nav").append(theme);
})();
