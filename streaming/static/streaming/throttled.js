// Asking a server no more often than it can bear.

/**
 * Returns a function that has `ask` called: at once where it has not been for a while, else
 * once later, however often it is called meanwhile. Between two calls lie at least `leastMs`,
 * and `rest` times as long as the last one took.
 */
export function throttled(ask, { leastMs, rest = 4 }) {
  let isAsking = false;
  let isWanted = false;
  let timer = null;
  let notBefore = 0;

  async function run() {
    timer = null;
    isAsking = true;
    isWanted = false;
    const begin = Date.now();
    try {
      await ask();
    } finally {
      isAsking = false;
      const end = Date.now();
      notBefore = Math.max(begin + leastMs, end + rest * (end - begin));
      if (isWanted) schedule();
    }
  }

  function schedule() {
    isWanted = true;
    if (isAsking || timer !== null) return;
    // A clock that was set back must not mean silence until it has caught up.
    const wait = Math.min(notBefore - Date.now(), Math.max(leastMs, 60_000));
    timer = setTimeout(run, Math.max(0, wait));
  }
  return schedule;
}
