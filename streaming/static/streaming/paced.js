// Drawing that leaves the page time for everything else.

const SHARE = 0.2; // of the time, at most

/**
 * Returns a function that has `draw` called at the next frame, however often it is called; and
 * no sooner than drawing took only its share of the time. In a hidden page nothing is drawn
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
  return () => {
    if (isDue) return;
    isDue = true;
    const wait = notBefore - performance.now();
    if (wait <= 0) requestAnimationFrame(run);
    else setTimeout(() => requestAnimationFrame(run), wait);
  };
}
