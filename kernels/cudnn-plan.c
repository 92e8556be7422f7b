/* GradStreamer kernels: cuDNN's plans: what its heuristics propose, built and run
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels/cudnn.h"

#include <string.h>

#define GST_CAT_DEFAULT grad_cudnn_debug_category ()

#define MAX_WORKSPACE ((gsize) 512 << 20)
#define N_FIRST 4               /* where none is timed: the first one may build, and not run */

struct _GradCudnnPlan
{
  GradCudnn *cudnn;             /* not owned */
  cudnnBackendDescriptor_t config, plan;
  gchar *choice;
  gsize workspace;

  guint n_tensors;
  gint64 uids[GRAD_CUDNN_N_POINTERS];

  /* of the last run; mostly the next one has the same pointers */
  cudnnBackendDescriptor_t pack;
  gpointer packed[GRAD_CUDNN_N_POINTERS], packed_workspace;
};

static void
destroy (gpointer descriptor)
{
  if (descriptor != NULL)
    cudnnBackendDestroyDescriptor (descriptor);
}

void
grad_cudnn_plan_free (GradCudnnPlan * self)
{
  if (self == NULL)
    return;
  destroy (self->pack);
  destroy (self->plan);
  destroy (self->config);
  g_free (self->choice);
  g_free (self);
}

const gchar *
grad_cudnn_plan_get_choice (GradCudnnPlan * self)
{
  return self->choice;
}

gsize
grad_cudnn_plan_get_workspace (GradCudnnPlan * self)
{
  return self->workspace;
}

static cudnnBackendDescriptor_t
create (cudnnBackendDescriptorType_t type, GError ** error)
{
  cudnnBackendDescriptor_t descriptor = NULL;

  grad_cudnn_check (cudnnBackendCreateDescriptor (type, &descriptor), "making a descriptor", error);
  return descriptor;
}

#define SET(descriptor, name, type, n, values) \
  grad_cudnn_check (cudnnBackendSetAttribute (descriptor, CUDNN_ATTR_##name, CUDNN_TYPE_##type, n, \
      values), "setting " #name, error)
#define GET(descriptor, name, type, n, got, values) \
  grad_cudnn_check (cudnnBackendGetAttribute (descriptor, CUDNN_ATTR_##name, CUDNN_TYPE_##type, n, \
      got, values), "getting " #name, error)
#define FINALIZE(descriptor, what) \
  grad_cudnn_check (cudnnBackendFinalize (descriptor), "finalising " what, error)

/* Which descriptors in an attribute are: the caller makes them, and cuDNN fills the first *got. */
static GPtrArray *
create_many (cudnnBackendDescriptorType_t type, gint64 n, GError ** error)
{
  GPtrArray *list = g_ptr_array_new_with_free_func (destroy);

  for (gint64 i = 0; i < n; i++) {
    cudnnBackendDescriptor_t descriptor = create (type, error);

    if (descriptor == NULL) {
      g_ptr_array_unref (list);
      return NULL;
    }
    g_ptr_array_add (list, descriptor);
  }
  return list;
}

/* Configurations, the most promising first; NULL when this mode knows none */
static GPtrArray *
ask_heuristics (GradCudnn * cudnn, GradCudnnGraph * graph, cudnnBackendHeurMode_t mode,
    GError ** error)
{
  cudnnBackendDescriptor_t heuristics = create (CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, error);
  GPtrArray *configs = NULL;
  int64_t n = 0, got = 0;

  if (heuristics != NULL
      && SET (heuristics, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &graph->graph)
      && SET (heuristics, ENGINEHEUR_MODE, HEUR_MODE, 1, &mode)
#if CUDNN_VERSION >= 90800
      && (cudnn->properties == NULL
          || SET (heuristics, ENGINEHEUR_DEVICEPROP, BACKEND_DESCRIPTOR, 1, &cudnn->properties))
#endif
      && FINALIZE (heuristics, "heuristics")
      && GET (heuristics, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR, 0, &n, NULL))
    configs = create_many (CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, n, error);
  if (configs != NULL && n > 0
      && GET (heuristics, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR, n, &got, configs->pdata))
    g_ptr_array_set_size (configs, MIN (got, n));
  else
    g_clear_pointer (&configs, g_ptr_array_unref);
  destroy (heuristics);
  return configs;
}

/* Whether what cudnn.h says about engines allows this one */
static gboolean
is_allowed (GradCudnn * cudnn, cudnnBackendDescriptor_t engine, GError ** error)
{
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  cudnnBackendBehaviorNote_t behavior[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
  gboolean strict = cudnn->precision == GRAD_PRECISION_F32;
  int64_t n = 0, n_behavior = 0;

  if (!GET (engine, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, G_N_ELEMENTS (notes), &n, notes)
      || !GET (engine, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE, G_N_ELEMENTS (behavior), &n_behavior,
          behavior))
    return FALSE;
  for (gint64 i = 0; i < MIN (n, (gint64) G_N_ELEMENTS (notes)); i++)
    if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC
        || notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION
        || (strict && (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE
                || notes[i] == CUDNN_NUMERICAL_NOTE_FFT
                || notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6
                || notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13
                || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)))
      return FALSE;
  for (gint64 i = 0; i < MIN (n_behavior, (gint64) G_N_ELEMENTS (behavior)); i++)
    if (behavior[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
      return FALSE;
  return TRUE;
}

static gboolean
append_knobs (cudnnBackendDescriptor_t config, GString * text, GError ** error)
{
  g_autoptr (GPtrArray) knobs =
      create_many (CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS, error);
  int64_t n = 0, one;

  if (knobs == NULL || !GET (config, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, knobs->len, &n,
          knobs->pdata))
    return FALSE;
  for (gint64 i = 0; i < MIN (n, knobs->len); i++) {
    cudnnBackendKnobType_t type;
    int64_t value;

    if (!GET (knobs->pdata[i], KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1, &one, &type)
        || !GET (knobs->pdata[i], KNOB_CHOICE_KNOB_VALUE, INT64, 1, &one, &value))
      return FALSE;
    g_string_append_printf (text, " %d=%" G_GINT64_FORMAT, type, (gint64) value);
  }
  return TRUE;
}

/* Engine and knobs as text; NULL without an error when the engine is not allowed */
static gchar *
describe (GradCudnn * cudnn, cudnnBackendDescriptor_t config, GError ** error)
{
  cudnnBackendDescriptor_t engine = create (CUDNN_BACKEND_ENGINE_DESCRIPTOR, error);
  g_autoptr (GString) text = g_string_new ("");
  int64_t index = -1, one;
  gboolean ok = engine != NULL
      && GET (config, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1, &one, &engine)
      && GET (engine, ENGINE_GLOBAL_INDEX, INT64, 1, &one, &index)
      && is_allowed (cudnn, engine, error);

  destroy (engine);
  g_string_printf (text, "%" G_GINT64_FORMAT, (gint64) index);
  return ok && append_knobs (config, text, error) ? g_strdup (text->str) : NULL;
}

static cudnnBackendDescriptor_t
create_knob (gint64 type, gint64 value, GError ** error)
{
  cudnnBackendDescriptor_t knob = create (CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, error);
  cudnnBackendKnobType_t kind = type;
  int64_t setting = value;

  if (knob != NULL && SET (knob, KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1, &kind)
      && SET (knob, KNOB_CHOICE_KNOB_VALUE, INT64, 1, &setting) && FINALIZE (knob, "a knob"))
    return knob;
  destroy (knob);
  return NULL;
}

/* "62 2=4 13=0": numbers only, as what comes from a file goes to cuDNN */
static gboolean
check_choice (const gchar * text, GError ** error)
{
  if (g_regex_match_simple ("^[0-9]{1,9}( [0-9]{1,9}=-?[0-9]{1,9})*$", text,
          G_REGEX_DOLLAR_ENDONLY, 0))
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "engine \"%s\" makes no sense", text);
  return FALSE;
}

/* " knob=value knob=value" */
static GPtrArray *
parse_knobs (gchar * text, GError ** error)
{
  GPtrArray *knobs = g_ptr_array_new_with_free_func (destroy);

  while (*text != '\0') {
    gint64 type = g_ascii_strtoll (text, &text, 10);
    gint64 value = g_ascii_strtoll (text + 1, &text, 10);
    cudnnBackendDescriptor_t knob = create_knob (type, value, error);

    if (knob == NULL) {
      g_ptr_array_unref (knobs);
      return NULL;
    }
    g_ptr_array_add (knobs, knob);
  }
  return knobs;
}

static cudnnBackendDescriptor_t
create_config (GradCudnn * cudnn, GradCudnnGraph * graph, const gchar * choice, GError ** error)
{
  gchar *knob_text;
  int64_t index = g_ascii_strtoll (choice, &knob_text, 10);
  g_autoptr (GPtrArray) knobs = parse_knobs (knob_text, error);
  cudnnBackendDescriptor_t config = NULL, engine = NULL;

  if (knobs != NULL && (engine = create (CUDNN_BACKEND_ENGINE_DESCRIPTOR, error)) != NULL
      && SET (engine, ENGINE_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &graph->graph)
      && SET (engine, ENGINE_GLOBAL_INDEX, INT64, 1, &index)
#if CUDNN_VERSION >= 90800
      && (cudnn->properties == NULL
          || SET (engine, ENGINE_DEVICEPROP, BACKEND_DESCRIPTOR, 1, &cudnn->properties))
#endif
      && FINALIZE (engine, "an engine")
      && (config = create (CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, error)) != NULL
      && !(SET (config, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1, &engine)
          && (knobs->len == 0
              || SET (config, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, knobs->len, knobs->pdata))
          && FINALIZE (config, "a configuration")))
    g_clear_pointer (&config, destroy);
  destroy (engine);
  return config;
}

/* Takes the configuration. */
static GradCudnnPlan *
build (GradCudnn * cudnn, GradCudnnGraph * graph, cudnnBackendDescriptor_t config,
    const gchar * choice, GError ** error)
{
  GradCudnnPlan *self = g_new0 (GradCudnnPlan, 1);
  int64_t workspace = 0, one;

  self->cudnn = cudnn;
  self->config = config;
  self->choice = g_strdup (choice);
  for (gint64 id = 0; id < GRAD_CUDNN_N_POINTERS; id++)
    if (graph->sizes[id] > 0)
      self->uids[self->n_tensors++] = id;
  if (!(self->plan = create (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, error))
      || !SET (self->plan, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1, &self->config)
      || !FINALIZE (self->plan, "a plan")
      || !GET (self->plan, EXECUTION_PLAN_WORKSPACE_SIZE, INT64, 1, &one, &workspace)) {
    grad_cudnn_plan_free (self);
    return NULL;
  }
  self->workspace = workspace;
  if (self->workspace <= MAX_WORKSPACE)
    return self;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "engine %s wants a workspace of %"
      G_GSIZE_FORMAT " MB", choice, self->workspace >> 20);
  grad_cudnn_plan_free (self);
  return NULL;
}

GradCudnnPlan *
grad_cudnn_plan_new_chosen (GradCudnn * cudnn, GradCudnnGraph * graph, const gchar * choice,
    GError ** error)
{
  cudnnBackendDescriptor_t config =
      check_choice (choice, error) ? create_config (cudnn, graph, choice, error) : NULL;

  return config ? build (cudnn, graph, config, choice, error) : NULL;
}

/* At most max plans more, of one mode. error is that of the first one that failed. */
static void
add_candidates (GradCudnn * cudnn, GradCudnnGraph * graph, cudnnBackendHeurMode_t mode, guint max,
    GPtrArray * plans, GError ** error)
{
  g_autoptr (GError) failed = NULL;
  g_autoptr (GPtrArray) configs = ask_heuristics (cudnn, graph, mode, &failed);

  for (guint i = 0, n = 0; configs != NULL && i < configs->len && n < max; i++) {
    g_autoptr (GError) why = NULL;
    g_autofree gchar *choice = describe (cudnn, configs->pdata[i], &why);
    gboolean known = FALSE;
    GradCudnnPlan *plan = NULL;

    for (guint k = 0; choice != NULL && k < plans->len; k++)
      known |= g_str_equal (((GradCudnnPlan *) plans->pdata[k])->choice, choice);
    if (choice != NULL && !known)
      plan = build (cudnn, graph, g_steal_pointer (&configs->pdata[i]), choice, &why);
    if (why != NULL)
      GST_DEBUG ("%s: %s: %s", graph->text->str, choice, why->message);
    if (failed == NULL)
      failed = g_steal_pointer (&why);
    if (plan != NULL) {
      g_ptr_array_add (plans, plan);
      n++;
    }
  }
  if (failed != NULL && error != NULL && *error == NULL)
    g_propagate_error (error, g_steal_pointer (&failed));
}

GPtrArray *
grad_cudnn_plan_candidates (GradCudnn * cudnn, GradCudnnGraph * graph, gboolean first_only,
    GError ** error)
{
  /* A is the better judge, but B may know what A does not; the last is for what neither knows */
  static const struct
  {
    cudnnBackendHeurMode_t mode;
    guint max;
    gboolean last_resort;
  } modes[] = {
    {CUDNN_HEUR_MODE_A, 12, FALSE},
    {CUDNN_HEUR_MODE_B, 6, FALSE},
    {CUDNN_HEUR_MODE_FALLBACK, 6, TRUE},
  };
  GPtrArray *plans = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_cudnn_plan_free);
  g_autoptr (GError) why = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    if (plans->len == 0 || !(first_only || modes[i].last_resort))
      add_candidates (cudnn, graph, modes[i].mode, first_only ? N_FIRST : modes[i].max, plans, &why);
  if (plans->len > 0)
    return plans;
  g_ptr_array_unref (plans);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "cuDNN has no plan for %s: %s",
      graph->text->str, why ? why->message : "no engine is allowed");
  return NULL;
}

static gboolean
set_pointers (GradCudnnPlan * self, const gpointer * pointers, gpointer workspace, GError ** error)
{
  gpointer data[GRAD_CUDNN_N_POINTERS];
  gboolean same = self->pack != NULL && workspace == self->packed_workspace;
  cudnnBackendDescriptor_t pack;

  for (guint i = 0; i < self->n_tensors; i++) {
    data[i] = pointers[self->uids[i]];
    same = same && data[i] == self->packed[i];
  }
  if (same)
    return TRUE;
  if (!(pack = create (CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, error)))
    return FALSE;
  if (!SET (pack, VARIANT_PACK_UNIQUE_IDS, INT64, self->n_tensors, self->uids)
      || !SET (pack, VARIANT_PACK_DATA_POINTERS, VOID_PTR, self->n_tensors, data)
      || !SET (pack, VARIANT_PACK_WORKSPACE, VOID_PTR, 1, &workspace)
      || !FINALIZE (pack, "pointers")) {
    destroy (pack);
    return FALSE;
  }
  destroy (self->pack);
  self->pack = pack;
  self->packed_workspace = workspace;
  memcpy (self->packed, data, sizeof data);
  return TRUE;
}

gboolean
grad_cudnn_plan_run (GradCudnnPlan * self, const gpointer * pointers, GError ** error)
{
  GradDevice *device = self->cudnn->device;
  gpointer workspace = NULL;
  gsize capacity = 0;
  gboolean ok;

  if (self->workspace > 0
      && !(workspace = grad_device_pool_get (device, self->workspace, &capacity, error)))
    return FALSE;
  ok = set_pointers (self, pointers, workspace, error)
      && grad_cudnn_check (cudnnBackendExecute (self->cudnn->handle, self->plan, self->pack),
      "running a plan", error);
  if (workspace != NULL)
    grad_device_pool_put (device, workspace, capacity);
  return ok;
}
