// Drawing that leaves the page time for everything else.

const SHARE = 0.2; // of the time, at most

const due = []; // drawings, one a frame: together they might be a long task
let frame = null;

function drawNext() {
  due.shift()();
  frame = due.length > 0 ? requestAnimationFrame(drawNext) : null;
}

/**
 * Returns a function that has `draw` called at one of the next frames, however often it is called;
 * and no sooner than drawing took only its share of the time. In a hidden page nothing is drawn
 * before it shows.
 */
export function paced(draw) {
  let isDue = false;
  let notBefore = 0;
  const run = () => {
    isDue = false;
    const begin = performance.now();
    draw();
    const end = performance.now();
    notBefore = end + (end - begin) * (1 / SHARE - 1);
  };
  const queue = () => {
    due.push(run);
    frame ??= requestAnimationFrame(drawNext);
  };
  return () => {
    if (isDue) return;
    isDue = true;
    const wait = notBefore - performance.now();
    if (wait <= 0) queue();
    else setTimeout(queue, wait);
  };
}

/** Returns a function that calls `step()` now and once a frame, for as long as it returns true. */
export function inSteps(step) {
  let next = null;
  return function go() {
    cancelAnimationFrame(next);
    if (step()) next = requestAnimationFrame(go);
  };
}
