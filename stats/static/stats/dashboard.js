// Show what a figure is exactly, let charts be read by keyboard, and keep an open page up to date.
// Everything is on the page without this script; it only asks our own address.
"use strict";

(() => {
  const tip = document.createElement("div");
  tip.className = "bm-tip";
  tip.id = "bm-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;

  function show(element) {
    tip.textContent = element.dataset.tip;
    tip.hidden = false;
    const at = element.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(at.left + at.width / 2 - width / 2, 8), innerWidth - width - 8);
    const above = at.top - height - 8;
    tip.style.left = `${Math.max(left, 8)}px`;
    tip.style.top = `${above > 8 ? above : Math.min(at.bottom + 8, innerHeight - height - 8)}px`;
  }

  function hide() {
    tip.hidden = true;
    document.querySelector(".bm-at")?.classList.remove("bm-at");
  }

  function point(event) {
    const element = event.target.closest?.("[data-tip]");
    element ? show(element) : hide();
  }

  // What has the focus is scrolled to by the browser itself.
  function follow() {
    const element = document.querySelector(".bm-at") ?? document.activeElement;
    tip.hidden || !element?.dataset.tip ? hide() : show(element);
  }

  // Figures of a table, a list or cards that say more are one stop of the Tab key together, the one
  // that was read last; arrows go from one to the next.
  const TOGETHER = "table, dl, ul, .bm-progress, .bm-cards";

  function gather(part) {
    const groups = new Set();
    for (const one of part.querySelectorAll("[data-tip]:not(a, [tabindex])")) {
      if (one.parentElement.matches(".bm-hits, [data-walk]")) continue;
      const group = one.closest(TOGETHER) ?? one;
      one.tabIndex = groups.has(group) ? -1 : 0;
      one.setAttribute("aria-describedby", tip.id);
      groups.add(group);
    }
  }

  function neighbour(one, key, all) {
    const at = all.indexOf(one);
    const row = one.closest("tr");
    if (!row || !key.match(/Up|Down/)) {
      return { ArrowLeft: all[at - 1], ArrowUp: all[at - 1], Home: all[0], End: all.at(-1) }[key]
        ?? (key.match(/Right|Down/) && all[at + 1]);
    }
    const column = one.closest("td, th").cellIndex;
    const below = all.filter((other) => other.closest("td, th")?.cellIndex === column);
    return below[below.indexOf(one) + (key === "ArrowDown" ? 1 : -1)];
  }

  function step(event) {
    const one = event.target;
    const group = one.matches?.("[data-tip][tabindex]") && one.closest(TOGETHER);
    if (!group || !event.key.match(/^(Arrow(Up|Down|Left|Right)|Home|End)$/)) return;
    event.preventDefault();
    const all = [...group.querySelectorAll("[data-tip][tabindex]")];
    const next = neighbour(one, event.key, all.filter((other) => other.checkVisibility()));
    if (!next) return;
    one.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  // A chart is one stop of the Tab key; arrows go through its columns, and through the rows of one
  // that says by `data-walk` how many cells each has. Where there is no room the rows are columns.
  function stepsOf(chart) {
    const row = Number(chart.dataset.walk ?? 0);
    if (!row) return { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    const isTurned = getComputedStyle(chart).gridAutoFlow.startsWith("column");
    const [across, along] = isTurned ? [row, 1] : [1, row];
    return { ArrowLeft: -across, ArrowRight: across, ArrowUp: -along, ArrowDown: along };
  }

  function walk(event) {
    if (event.key === "Escape") return hide();
    step(event);
    const chart = event.target.closest?.(".bm-hits, [data-walk]");
    const steps = chart ? stepsOf(chart) : {};
    if (!(event.key in steps)) return;
    event.preventDefault();
    const columns = [...chart.children];
    const from = columns.findIndex((one) => one.classList.contains("bm-at"));
    const to = Math.min(Math.max(from + steps[event.key], 0), columns.length - 1);
    columns[from]?.classList.remove("bm-at");
    columns[to].classList.add("bm-at");
    show(columns[to]);
  }

  class Live {
    constructor(part) {
      this.part = part;
      this.state = document.querySelector("[data-live-state]");
      // Nobody is told the time every two seconds who listens to the page.
      this.time = document.createElement("span");
      this.time.setAttribute("aria-hidden", "true");
      this.words = document.createElement("span");
      this.state?.append(this.words, this.time);
      this.timer = 0;
      this.askedAt = Date.now();
      document.addEventListener("visibilitychange", () => this.wake());
      this.note(part);
      this.wait();
    }

    wake() {
      const isOld = Date.now() - this.askedAt > this.seconds * 1000;
      isOld && !document.hidden ? this.refresh() : this.wait();
    }

    wait(seconds = this.seconds) {
      clearTimeout(this.timer);
      if (!document.hidden) this.timer = setTimeout(() => this.refresh(), seconds * 1000);
    }

    // Who is reading something is not interrupted.
    pause() {
      if (!tip.hidden) return "Paused while you point at a figure, as of ";
      const isInside = this.part.contains(document.activeElement);
      return isInside ? "Paused while something below has the focus, as of " : "";
    }

    async refresh() {
      this.askedAt = Date.now();
      const paused = this.pause();
      if (paused) {
        this.say(paused, this.at);
        return this.wait(1);
      }
      try {
        const answer = await fetch(location.href, { headers: { "X-Fragment": "live" } });
        if (answer.redirected) return this.say("Signed out. Reload the page to sign in.");
        if (!answer.ok) throw new Error(String(answer.status));
        this.replace(await answer.text());
      } catch {
        this.say("The server cannot be reached; trying again. Not up to date since ", this.at);
      }
      this.wait();
    }

    replace(text) {
      const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("[data-live]");
      if (!fresh) return;
      for (const one of this.part.querySelectorAll("details[open][id]")) {
        fresh.querySelector(`#${CSS.escape(one.id)}`)?.setAttribute("open", "");
      }
      this.part.replaceChildren(...fresh.childNodes);
      this.note(fresh);
      gather(this.part);
    }

    // The server says when it counted, on the clock of all other times, and when to ask again.
    note(part) {
      this.seconds = Number(part.dataset.live);
      this.at = part.dataset.at;
      this.say("Live, updated at ", this.at);
    }

    say(words, at = "") {
      if (this.words.textContent !== words) this.words.textContent = words;
      this.time.textContent = at;
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.body.append(tip);
    gather(document);
    document.addEventListener("pointerover", point);
    document.addEventListener("focusin", point);
    document.addEventListener("focusout", hide);
    document.addEventListener("keydown", walk);
    document.addEventListener("change", (event) => {
      if (event.target.matches?.("select[data-submits]")) event.target.form.submit();
    });
    addEventListener("scroll", follow, { passive: true, capture: true });
    const part = document.querySelector("[data-live]");
    if (part) new Live(part);
  });
})();
