// The theme restores the scroll position of the left column: show the entry of this page as well.
window.addEventListener("load", () => {
  const entry = document.querySelector(".bd-sidebar-primary .current.active");
  const column = document.querySelector(".bd-sidebar-primary");
  if (!entry || !column || getComputedStyle(column).position !== "sticky") return;
  const { top, bottom } = entry.getBoundingClientRect(), box = column.getBoundingClientRect();
  if (top < box.top || bottom > box.bottom) column.scrollTop += top - box.top - box.height / 3;
});
