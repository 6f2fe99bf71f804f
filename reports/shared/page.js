// Offer each figure as SVG and PNG and each table as CSV, and open what a link points to.
// Everything is made from the page itself; nothing is loaded or sent.
(() => {
  "use strict";
  const light = document.styleSheets[0].cssRules[0].style; // files are white in dark mode too
  const kind = "image/svg+xml";
  const sandboxed = window.origin === "null" && location.protocol !== "file:"; // no downloads there

  const words = (element) => element.textContent.replace(/\s+/g, " ").trim();

  const fileName = (text) =>
    text.toLowerCase().replace(/[^a-z0-9_]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "table";

  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  // A text that a spreadsheet would run as a formula gets an apostrophe; numbers and intervals do not.
  const cell = (element) => {
    const plain = words(element).replace(/\u2212/g, "-");
    const text = /^[=@]|^[+-](?![\d.,%\s]+( to [-+\d.,%\s]+)?$)/.test(plain) ? `'${plain}` : plain;
    return /[",]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };

  const csv = (table) =>
    [...table.rows]
      .map((row) =>
        [...row.cells].flatMap((one) => [cell(one), ...Array(one.colSpan - 1).fill("")]).join(",")
      )
      .join("\r\n") + "\r\n";

  const text = (x, y, value, more = "") => {
    const safe = value.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    return `<text x="${x}" y="${y}" font-size="11.5" ${more}>${safe}</text>`;
  };

  const lines = (value, most) => {
    const found = [""];
    for (const word of value.split(" ")) {
      if ((found.at(-1) + word).length > most) found.push("");
      found.push(`${found.pop()}${word} `);
    }
    return found.map((line) => line.trim()).filter(Boolean);
  };

  const legend = (figure, start) => {
    const list = figure.closest("section")?.querySelector(".legend");
    return [...(list?.children ?? [])].map((item, place) => {
      const y = start + 16 * place;
      const mark = item.querySelector(".swatch, .best, .chance");
      const label = words(item);
      if (mark.className === "swatch") {
        const colour = mark.style.getPropertyValue("--colour");
        const sign = words(mark);
        return text(2, y, sign, `fill="${colour}"`) + text(18, y, label.replace(sign, "").trim());
      }
      const [dashes, look] = mark.className === "chance" ? ["2 2", "muted"] : ["none", "ink"];
      return (
        `<line x1="1" x2="14" y1="${y - 4}" y2="${y - 4}" stroke="var(--${look})" ` +
        `stroke-width="2" stroke-dasharray="${dashes}"/>` + text(18, y, label)
      );
    });
  };

  const standalone = (figure) => {
    const drawn = figure.querySelector("svg");
    const [, , width, height] = drawn.getAttribute("viewBox").split(" ").map(Number);
    const caption = figure.querySelector("figcaption");
    const title = lines(caption ? words(caption) : words(drawn.querySelector("title")), 58);
    const top = 16 * title.length + 8;
    const explained = legend(figure, top + height + 18);
    const total = top + height + 16 * explained.length + 16;
    const copy = drawn.cloneNode(true);
    for (const [key, value] of Object.entries({ x: 0, y: top, width, height, overflow: "visible" }))
      copy.setAttribute(key, value);
    const source =
      `<svg xmlns="${drawn.namespaceURI}" viewBox="-12 -4 ${width + 24} ${total}" width="${width + 24}" ` +
      `height="${total}" font-family="Helvetica, Arial, sans-serif" fill="var(--ink)">` +
      `<rect x="-12" y="-4" width="100%" height="100%" fill="var(--paper)"/>` +
      title.map((line, n) => text(0, 16 * n + 12, line, 'font-weight="bold"')).join("") +
      new XMLSerializer().serializeToString(copy) + explained.join("") + "</svg>";
    return source.replace(/var\((--[a-z0-9-]+)\)/g, (_, name) => light.getPropertyValue(name).trim());
  };

  const png = (source, name) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = 3 * image.width;
      canvas.height = 3 * image.height;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(blob, name), "image/png");
    };
    image.src = `data:${kind};charset=utf-8,${encodeURIComponent(source)}`;
  };

  const button = (label, about, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.setAttribute("aria-label", `Download “${about}” as ${label}`);
    made.addEventListener("click", act);
    return made;
  };

  const offer = (after, buttons) => {
    const place = document.createElement("p");
    place.className = "get";
    place.append("Download ", ...buttons);
    after.after(place);
  };

  const offerFigure = (figure) => {
    const drawn = figure.querySelector("svg");
    const about = words(figure.querySelector("figcaption") ?? drawn.querySelector("title"));
    const name = fileName(drawn.getAttribute("aria-labelledby").replace(/-title$/, ""));
    const asSvg = () => save(new Blob([standalone(figure)], { type: kind }), `${name}.svg`);
    const buttons = [
      button("SVG", about, asSvg),
      button("PNG", about, () => png(standalone(figure), `${name}.png`)),
    ];
    const table = figure.querySelector("table");
    if (table) buttons.push(csvButton(table, about, name));
    offer(drawn, buttons);
  };

  const csvButton = (table, about, name) =>
    button("CSV", about, () => save(new Blob([csv(table)], { type: "text/csv" }), `${name}.csv`));

  const offerTable = (table) => {
    const about = (table.closest("[aria-label]")?.getAttribute("aria-label") ?? "table").replace(/, table$/, "");
    offer(table.closest(".scroll") ?? table, [csvButton(table, about, fileName(about))]);
  };

  const openTarget = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.querySelector(":scope > details");
    if (!folded) return;
    folded.open = true;
    target.scrollIntoView();
  };

  if (!sandboxed) {
    const figures = [...document.querySelectorAll("figure")].filter((one) => one.querySelector("svg"));
    figures.forEach(offerFigure);
    [...document.querySelectorAll("table")]
      .filter((one) => !figures.includes(one.closest("figure")) && !one.closest(".values"))
      .forEach(offerTable);
  }
  const all = document.querySelector(".all");
  if (all) {
    all.hidden = false;
    all.addEventListener("click", () => {
      const folded = document.querySelectorAll("details.depth");
      const open = ![...folded].every((one) => one.open);
      folded.forEach((one) => (one.open = open));
      all.textContent = open ? "Fold all" : "Unfold all";
    });
  }
  const filters = document.querySelector(".filters");
  if (filters) {
    const selects = [...filters.querySelectorAll("select")];
    const passes = (row) => (one) => {
      const value = row.getAttribute(`data-${one.dataset.filter}`);
      if ("limit" in one.dataset) return value !== null && Number(value) <= Number(one.value);
      return value === one.value;
    };
    const apply = () => {
      const chosen = selects.filter((one) => one.value);
      const sections = [...document.querySelectorAll(".ranking")];
      sections.forEach((section) => {
        const rows = [...section.querySelectorAll("tbody tr")];
        rows.forEach((row) => (row.hidden = !chosen.every(passes(row))));
        section.hidden = rows.every((row) => row.hidden);
      });
      const shown = sections.filter((one) => !one.hidden).length;
      document.getElementById("shown").textContent = `${shown} of ${sections.length} tables are shown.`;
    };
    filters.hidden = false;
    selects.forEach((one) => {
      const first = one.querySelector("[data-first]");
      if (first) one.value = first.value;
    });
    filters.addEventListener("change", apply);
    apply();
  }
  window.addEventListener("hashchange", openTarget);
  openTarget();
})();
