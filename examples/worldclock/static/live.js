// Turns the clocks of a page by the events of the server.
"use strict";

const PHASES = [[6, "night"], [9, "dawn"], [18, "day"], [21, "dusk"], [24, "night"]];
const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "2-digit", month: "short", timeZone: "UTC" });

function turn(clock, zone) {
  // The wall time is what is written, whatever this browser's own zone.
  const [hour, minute, second] = zone.local_time.slice(11, 19).split(":").map(Number);
  const rotate = (hand, degrees) => clock.querySelector(hand).setAttribute("transform", `rotate(${degrees})`);
  rotate(".hour", (hour % 12) * 30 + minute / 2);
  rotate(".minute", minute * 6);
  rotate(".second", (hour * 60 + minute) * 360 + second * 6); // never backwards, for the transition
  clock.dataset.phase = PHASES.find(([end]) => hour < end)[1];
  const time = clock.querySelector("time");
  time.dateTime = zone.local_time;
  time.firstChild.data = zone.local_time.slice(11, 16);
  time.querySelector(".seconds").textContent = zone.local_time.slice(16, 19);
  clock.querySelector(".date").textContent = day.format(new Date(zone.local_time.slice(0, 10))).replace(",", "");
}

for (const grid of document.querySelectorAll("[data-events]")) {
  const status = document.querySelector("[data-status]");
  const say = (text, isLive) => {
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("is-live", isLive);
  };
  const source = new EventSource(grid.dataset.events);
  source.onmessage = (event) => {
    say("Live, every second", true);
    for (const zone of JSON.parse(event.data)) {
      turn(grid.querySelector(`[data-zone="${CSS.escape(zone.name)}"]`), zone);
    }
  };
  source.onerror = () => say("The connection is lost; trying again …", false);
}
