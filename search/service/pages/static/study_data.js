// The trials of a study in the browser: merged from columns, and the front at any of its times.

// Of what arrives together, records may be a little out of order; so much is asked for again.
const AGAIN_S = 120;

export class StudyData {
  constructor() {
    this.facts = null;
    this.front = [];
    this.counts = {};
    this.waiting = new Set();
    this.trials = new Map(); // by number: its rows by rung
    this.n = -1;
    this.end = 0;
    this.best = new Map(); // by number: the row that counts
    this.all = this.rows = this.able = null; // what follows from all rows, until others come
  }

  // The seconds after which rows are asked for; 0 for all of them.
  get after() {
    return Math.max(0, this.end - AGAIN_S);
  }

  clear() {
    this.trials.clear();
    this.best.clear();
    this.end = 0;
  }

  // Takes an answer of columns and tells whether anything in it was new.
  take(answer) {
    const { columns, front, counts, waiting, study, n, after } = answer;
    if (!after) this.clear();
    this.all = this.rows = this.able = null;
    const is_new = n !== this.n || JSON.stringify(front) !== JSON.stringify(this.front);
    Object.assign(this, { facts: study, front, counts, n, waiting: new Set(waiting) });
    for (const row of rowsOf(columns)) {
      const rows = this.trials.get(row.trial);
      const same = rows ? rows.findIndex((other) => other.rung === row.rung) : -1;
      if (!rows) this.trials.set(row.trial, [row]);
      else if (same >= 0) rows[same] = row;
      else rows.push(row);
      if (row.at > this.end) this.end = row.at;
    }
    // Of the others the row that counts is the same as before.
    for (const trial of new Set(columns.trial)) this.best.set(trial, this.at(trial));
    return is_new;
  }

  get metric() { return this.facts.objectives[0]; }

  get cost() { return this.facts.objectives[1]; }

  // The row of a trial that counts: its best training, else why it was not trained.
  at(trial) {
    let best = null;
    for (const row of this.trials.get(trial) ?? []) {
      if (!best || countsMore(row, best)) best = row;
    }
    return best;
  }

  // The rows that count at some time of the study, by when they begin to.
  get timeline() { return this.rows ??= timelineOf(this.trials.values()); }

  // One row per trial that had an outcome.
  shown() { return this.all ??= [...this.best.values()]; }

  // The rows of a front at a time, by the cost that is drawn; the server's own for now.
  frontAt(time) {
    if (time >= this.end) {
      const own = (member) => this.trials.get(member.trial)?.find((row) => row.rung === member.rung);
      return this.front.map((member) => ({ ...own(member), ...member }));
    }
    this.able ??= this.candidates();
    const able = this.able.filter(({ row }) => row.at <= time && time < row.until);
    return (this.facts.objectives.length === 2 ? swept : undominated)(able).map(({ row }) => row);
  }

  // The rows that can be on a front at some time with their losses, by the cost that is drawn.
  candidates() {
    const sign = this.facts.objectives.map((one) => (one.direction === "maximize" ? -1 : 1));
    const names = ["metric", ...this.facts.objectives.slice(1).map((one) => one.name)];
    const found = [];
    for (const row of this.timeline) {
      const losses = names.map((name, i) => (row[name] === null ? NaN : sign[i] * row[name]));
      if (row.can_join && losses.every(Number.isFinite)) found.push({ row, losses });
    }
    return found.sort((a, b) => a.losses[1] - b.losses[1] || a.losses[0] - b.losses[0]);
  }

  // What became of a trial, in one word.
  state(row) {
    if (row.kind !== "trained") return row.kind;
    const last = (this.trials.get(row.trial) ?? []).reduce((a, b) => (b.rung > a.rung ? b : a), row);
    if (last.kind === "trained" && last.rung < this.facts.rungs.length - 1) {
      return this.waiting.has(row.trial) ? "waiting" : "stopped";
    }
    return last.kind;
  }
}

// One object per row, made in one go: set one by one by their names, its values take twice as long.
function rowsOf({ trial, rung, kind, can_join, at, seconds, label, candidate, metric, low, high, trained, chosen_by,
  why, p95_ms, is_stable, ...costs }) {
  const others = Object.entries(costs);
  return trial.map((number, i) => {
    const row = { trial: number, rung: rung[i], kind: kind[i], can_join: can_join[i], at: at[i], seconds: seconds[i],
      label: label[i], candidate: candidate[i], metric: metric[i], low: low[i], high: high[i], trained: trained[i],
      chosen_by: chosen_by[i], why: why[i], p95_ms: p95_ms[i], is_stable: is_stable[i], until: Infinity };
    for (const [name, values] of others) row[name] = values[i];
    return row;
  });
}

// Returns the rows that count at some time; ``until`` says when another row of their trial does in their place.
function timelineOf(trials) {
  const found = [];
  for (const rows of trials) {
    let held = null;
    for (const row of rows.length > 1 ? [...rows].sort((a, b) => a.at - b.at) : rows) {
      row.until = Infinity;
      if (held && !countsMore(row, held)) continue;
      if (held) held.until = row.at;
      held = row;
      found.push(row);
    }
  }
  return found.sort((a, b) => a.at - b.at);
}

const rank = (row) => (row.can_join ? 2 : row.kind === "trained" ? 1 : 0);

function countsMore(row, held) {
  return rank(row) > rank(held) || (rank(row) === rank(held) && better(row, held));
}

function better(row, held) {
  if (row.metric === held.metric || row.metric === null) return row.rung >= held.rung;
  return row.metric > held.metric;
}

function swept(able) {
  const front = [];
  let least = Infinity;
  for (const one of able) {
    if (one.losses[0] >= least) continue;
    [least] = one.losses;
    front.push(one);
  }
  return front;
}

function undominated(able) {
  const front = [];
  for (const one of able) {
    const is_beaten = front.some((other) => other.losses.every((loss, i) => loss <= one.losses[i]));
    if (!is_beaten) front.push(one);
  }
  return front;
}
