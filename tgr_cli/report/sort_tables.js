
// Headers become buttons that sort their table; without scripts the tables stay as they are.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const order = new Intl.Collator("en", { numeric: true }).compare;
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const numeric = header.classList.contains("numeric");
      const key = row => row.cells[column].dataset.key;
      const sorted = [...body.rows].sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        return down * (numeric ? a - b : order(a, b));
      });
      body.append(...sorted);
      headers.forEach(each => each.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
    });
  });
}
