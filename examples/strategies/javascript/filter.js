// A data filter: keeps the images that the model is sure enough of.

const MIN_MARGIN = {
  name: 'min_margin',
  help: "How far from 0.5 an image's p-yes must lie.",
  default: { tag: 'number', val: 0.2 },
  minimum: 0,
  maximum: 0.5,
  choices: [],
};

// The value of a parameter that is a number. What is thrown is what the host shows.
function numberOf(settings, name) {
  const found = settings.find((setting) => setting.name === name);
  if (found?.value.tag !== 'number') throw `\`${name}\` is missing, or no number`;
  return found.value.val;
}

export const about = {
  describe() {
    return {
      name: 'margin-filter-javascript',
      version: '0.1.0',
      summary: 'Keeps the images that the model is sure enough of.',
      authors: ['Your name'],
      licence: 'MIT',
      roles: ['data-filter'],
      services: [],
      parameters: [MIN_MARGIN],
    };
  },

  // Each value is within its parameter's range. What they mean together is for us to judge.
  check(role, settings) {
    try {
      numberOf(settings, MIN_MARGIN.name);
    } catch (message) {
      throw { parameter: MIN_MARGIN.name, message };
    }
  },
};

// Why an image is unfit, if it is. The same cause has the same words: the host counts them.
function unfit(candidate, minMargin) {
  if (candidate.verdict === 'unparsed') return 'unparsed';
  if (Math.abs(candidate.pYes - 0.5) < minMargin) return 'undecided';
  return undefined;
}

export const dataFilter = {
  filter(context, groups) {
    const minMargin = numberOf(context.settings, MIN_MARGIN.name);
    const decide = (candidate) => {
      const reason = unfit(candidate, minMargin);
      return reason === undefined ? { tag: 'keep' } : { tag: 'drop', val: reason };
    };
    return {
      decisions: groups.map((group) => group.candidates.map(decide)),
      // Whatever is to be remembered until the next round.
      state: context.state,
    };
  },
};
