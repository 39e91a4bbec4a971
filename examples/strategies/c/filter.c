// A data filter: keeps the images that the model is sure enough of.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data_filter_strategy.h"

typedef data_filter_strategy_string_t string;

#define MIN_MARGIN "min_margin"

// The bindings free what is returned, so it must come from the allocator.
static string copy(const char *words) {
  string made = {.len = strlen(words)};
  made.ptr = malloc(made.len);
  memcpy(made.ptr, words, made.len);
  return made;
}

static bool min_margin_of(const sc_strategy_types_setting_t *settings, size_t count,
                          double *margin) {
  for (size_t i = 0; i < count; i++) {
    const sc_strategy_types_setting_t *setting = &settings[i];
    if (setting->name.len == strlen(MIN_MARGIN) &&
        memcmp(setting->name.ptr, MIN_MARGIN, setting->name.len) == 0 &&
        setting->value.tag == SC_STRATEGY_TYPES_VALUE_NUMBER) {
      *margin = setting->value.val.number;
      return true;
    }
  }
  return false;
}

void exports_sc_strategy_about_describe(exports_sc_strategy_about_description_t *ret) {
  exports_sc_strategy_about_parameter_t *parameter = calloc(1, sizeof *parameter);
  parameter->name = copy(MIN_MARGIN);
  parameter->help = copy("How far from 0.5 an image's p-yes must lie.");
  parameter->default_.tag = SC_STRATEGY_TYPES_VALUE_NUMBER;
  parameter->default_.val.number = 0.2;
  parameter->minimum = (data_filter_strategy_option_f64_t){.is_some = true, .val = 0.0};
  parameter->maximum = (data_filter_strategy_option_f64_t){.is_some = true, .val = 0.5};

  string *author = malloc(sizeof *author);
  *author = copy("Your name");
  exports_sc_strategy_about_role_t *role = malloc(sizeof *role);
  *role = SC_STRATEGY_TYPES_ROLE_DATA_FILTER;

  memset(ret, 0, sizeof *ret);
  ret->name = copy("margin-filter-c");
  ret->version = copy("0.1.0");
  ret->summary = copy("Keeps the images that the model is sure enough of.");
  ret->authors = (data_filter_strategy_list_string_t){author, 1};
  ret->licence = copy("MIT");
  ret->roles = (exports_sc_strategy_about_list_role_t){role, 1};
  ret->parameters = (exports_sc_strategy_about_list_parameter_t){parameter, 1};
}

// Each value is within its parameter's range. What they mean together is for us to judge.
bool exports_sc_strategy_about_check(exports_sc_strategy_about_role_t role,
                                     exports_sc_strategy_about_list_setting_t *settings,
                                     exports_sc_strategy_about_refusal_t *err) {
  (void)role;
  double margin;
  if (min_margin_of(settings->ptr, settings->len, &margin)) return true;
  err->parameter = (data_filter_strategy_option_string_t){true, copy(MIN_MARGIN)};
  err->message = copy("it is missing, or no number");
  return false;
}

// Why an image is unfit, or NULL. The same cause has the same words: the host counts them.
static const char *unfit(const sc_strategy_types_candidate_t *candidate, double min_margin) {
  if (candidate->verdict == SC_STRATEGY_TYPES_VERDICT_UNPARSED) return "unparsed";
  if (fabs(candidate->p_yes - 0.5) < min_margin) return "undecided";
  return NULL;
}

bool exports_sc_strategy_data_filter_filter(exports_sc_strategy_data_filter_context_t *context,
                                            exports_sc_strategy_data_filter_list_group_t *groups,
                                            exports_sc_strategy_data_filter_answer_t *ret,
                                            string *err) {
  double min_margin;
  if (!min_margin_of(context->settings.ptr, context->settings.len, &min_margin)) {
    *err = copy("`" MIN_MARGIN "` is missing, or no number");
    return false;
  }
  ret->decisions.len = groups->len;
  ret->decisions.ptr = calloc(groups->len, sizeof *ret->decisions.ptr);
  for (size_t g = 0; g < groups->len; g++) {
    const sc_strategy_types_list_candidate_t *candidates = &groups->ptr[g].candidates;
    exports_sc_strategy_data_filter_list_decision_t *decisions = &ret->decisions.ptr[g];
    decisions->len = candidates->len;
    decisions->ptr = calloc(candidates->len, sizeof *decisions->ptr);
    for (size_t c = 0; c < candidates->len; c++) {
      const char *reason = unfit(&candidates->ptr[c], min_margin);
      if (reason != NULL) {
        decisions->ptr[c].tag = EXPORTS_SC_STRATEGY_DATA_FILTER_DECISION_DROP;
        decisions->ptr[c].val.drop = copy(reason);
      }
    }
  }
  // Whatever is to be remembered until the next round: here what was given, handed on.
  ret->state = context->state;
  context->state = (data_filter_strategy_list_u8_t){0};
  return true;
}
