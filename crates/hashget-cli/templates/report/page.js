// The treemap: folders and files by bytes, coloured by how much of them packages give back.
// Data: [name, bytes, bytes given by packages, files, children or 0, how many entries it stands for or 0].
"use strict";
(() => {
  const tree = JSON.parse(document.getElementById("tree").textContent);
  const map = document.getElementById("map");
  const where = document.getElementById("where");
  const told = document.getElementById("told");
  const [NAME, BYTES, GIVEN, FILES, CHILDREN, MANY] = [0, 1, 2, 3, 4, 5];
  let path = [tree];

  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const size = (bytes) => {
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
    return (unit === 0 ? bytes : bytes.toFixed(bytes < 10 ? 2 : 1)) + " " + units[unit];
  };
  const percent = (node) => node[BYTES] === 0 ? "" : Math.round(100 * node[GIVEN] / node[BYTES]) + " % from packages";
  const name = (node) => node[MANY] ? node[MANY].toLocaleString("en") + " smaller entries" : node[NAME];

  // Squarified treemap: rows are filled as long as their worst aspect ratio gets better.
  const layout = (nodes, x, y, width, height) => {
    const placed = [];
    const total = nodes.reduce((sum, node) => sum + node[BYTES], 0);
    if (total === 0 || width < 1 || height < 1) return placed;
    const scale = width * height / total;
    const worst = (row, sum, side) => {
      const [largest, smallest] = [row[0][BYTES] * scale, row[row.length - 1][BYTES] * scale];
      const area = sum * scale;
      return Math.max(side * side * largest / (area * area), area * area / (side * side * smallest));
    };
    let rest = nodes.filter((node) => node[BYTES] > 0);
    while (rest.length > 0) {
      const side = Math.min(width, height);
      let count = 1;
      let sum = rest[0][BYTES];
      while (count < rest.length) {
        const next = rest.slice(0, count + 1);
        const more = sum + rest[count][BYTES];
        if (worst(next, more, side) > worst(rest.slice(0, count), sum, side)) break;
        count += 1;
        sum = more;
      }
      const thickness = sum * scale / side;
      let at = 0;
      for (const node of rest.slice(0, count)) {
        const length = node[BYTES] * scale / thickness;
        placed.push(width >= height
          ? { node, x, y: y + at, width: thickness, height: length }
          : { node, x: x + at, y, width: length, height: thickness });
        at += length;
      }
      if (width >= height) { x += thickness; width -= thickness; } else { y += thickness; height -= thickness; }
      rest = rest.slice(count);
    }
    return placed;
  };

  const tell = (trail) => {
    const node = trail[trail.length - 1];
    const full = trail.slice(1).map(name).join("/");
    const files = node[FILES].toLocaleString("en") + (node[FILES] === 1 ? " file" : " files");
    told.textContent = (full || "everything") + " — " + [size(node[BYTES]), files, percent(node)].filter((part) => part).join(", ");
  };

  const colour = (node) => {
    const share = node[BYTES] === 0 ? 0 : node[GIVEN] / node[BYTES];
    return `color-mix(in oklab, var(--known) ${Math.round(share * 100)}%, var(--kept))`;
  };

  const go = (trail, from) => {
    path = trail;
    draw(true, from);
  };
  const out = () => {
    if (path.length > 1) go(path.slice(0, -1), path[path.length - 1]);
  };

  // The cell that lies nearest in the direction of an arrow key.
  const neighbour = (cell, key) => {
    const box = cell.getBoundingClientRect();
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    let best = null;
    let least = Infinity;
    for (const other of map.children) {
      const it = other.getBoundingClientRect();
      const [x, y] = [it.x - box.x, it.y - box.y];
      const ahead = x * dx + y * dy;
      const aside = Math.abs(x * dy) + Math.abs(y * dx);
      if (other !== cell && ahead > 0 && ahead + 2 * aside < least) { best = other; least = ahead + 2 * aside; }
    }
    return best;
  };

  const focus = (cell) => {
    for (const other of map.children) other.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus({ preventScroll: true });
  };

  const cellOf = ({ node, x, y, width, height }, trail) => {
    const cell = document.createElement("div");
    const folder = Boolean(node[CHILDREN]);
    cell.className = folder ? "cell folder" : "cell";
    cell.tabIndex = -1;
    cell.setAttribute("role", "button");
    cell.setAttribute("aria-label", `${trail.slice(1).map(name).join("/")}${folder ? ", folder" : ""}, ${size(node[BYTES])}, ${percent(node)}`);
    Object.assign(cell.style, { left: x + "px", top: y + "px", width: width + "px", height: height + "px", background: colour(node) });
    if (width > 40 && height > 20) {
      const label = document.createElement("b");
      label.textContent = name(node) + (folder ? "/" : "") + (width > 170 ? "  " + size(node[BYTES]) : "");
      cell.append(label);
    }
    cell.addEventListener("mouseenter", () => tell(trail));
    cell.addEventListener("focus", () => tell(trail));
    // A file shows more of the folder that it lies in.
    const enter = () => {
      if (folder) go(trail);
      else if (trail.length - 1 > path.length) go(trail.slice(0, -1), node);
      else focus(cell);
    };
    cell.addEventListener("click", enter);
    cell.addEventListener("keydown", (event) => {
      if (event.key.startsWith("Arrow")) {
        const next = neighbour(cell, event.key);
        if (next) focus(next);
      } else if (event.key === "Enter" || event.key === " ") {
        enter();
      } else if (event.key === "Escape" || event.key === "Backspace") {
        out();
      } else return;
      event.preventDefault();
    });
    cell.node = node;
    return cell;
  };

  // Cells of everything in a box: a folder that has room shows what is in it, below its own name.
  const cells = (nodes, trail, x, y, width, height) => layout(nodes, x, y, width, height).flatMap((place) => {
    const inner = trail.concat([place.node]);
    const cell = cellOf(place, inner);
    if (!place.node[CHILDREN] || place.width < 60 || place.height < 56) return [cell];
    return [cell, ...cells(place.node[CHILDREN], inner, place.x + 3, place.y + 21, place.width - 6, place.height - 24)];
  });

  const draw = (focused, from) => {
    const here = path[path.length - 1];
    where.replaceChildren(...path.map((node, depth) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = depth === 0 ? "everything" : "/ " + node[NAME];
      if (depth === path.length - 1) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => { if (depth < path.length - 1) go(path.slice(0, depth + 1), path[depth + 1]); });
      return button;
    }));
    const box = map.getBoundingClientRect();
    map.replaceChildren(...cells(here[CHILDREN], path, 0, 0, box.width, box.height));
    const all = [...map.children];
    const first = all.find((cell) => cell.node === from) || all[0];
    if (first) {
      first.tabIndex = 0;
      if (focused) first.focus({ preventScroll: true });
    }
    if (!focused) tell(path);
  };

  map.addEventListener("mouseleave", () => tell(path));
  new ResizeObserver(() => draw(map.contains(document.activeElement))).observe(map);
})();
