/* GradStreamer benchmark of kernels: checks and times the op tables of one device
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One list of cases (cases.c): what the book's ResNet-18 calls at 96x96, and odd shapes.
 *   check  every case against device ref, as TAP
 *   perf   every case: median time, arithmetic and memory throughput, and the share of the floor, which is the time that
 *          arithmetic or memory traffic of the case take at the rates that this machine reaches (peaks.c). Beside
 *          convolutions of a training step on device cpu, oneDNN's own, in the layouts that they like best: what a step
 *          cannot be faster than without better algorithms. Algorithms that multiply less exceed 100 %. */
#include "config.h"
#include "calls.h"
#include "report.h"
#include "tests/kernels/kernelutil.h"
#ifdef HAVE_ONEDNN
#include "peer.h"
#endif

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MIN_RUN_MS 10           /* what is faster is called several times */

static gchar *device_name = NULL, *precision_name = NULL, *filter = NULL, *json = NULL;
static gint batch = 0, threads = 0, rounds = 7;
static gdouble gflops = 0;

static GradDevice *
open_device (const gchar * name, GError ** error)
{
  GradDeviceSettings settings = {.name = name,.threads = threads };
  g_autoptr (GEnumClass) precisions = g_type_class_ref (GRAD_TYPE_PRECISION);
  GEnumValue *value = g_enum_get_value_by_nick (precisions, precision_name);

  if (value == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "there is no precision %s",
        precision_name);
    return NULL;
  }
  if (!g_str_equal (name, "ref"))       /* which has its own */
    settings.precision = value->value;
  return grad_device_open (&settings, error);
}

/* ---- what runs in the compute thread */

typedef struct
{
  GradDevice *device;
  const BenchCase *c;
  const BenchCall *like;
  BenchCall *call;
} Opening;

static gboolean
open_call (gpointer data, GError ** error)
{
  Opening *o = data;

  o->call = bench_call_new (o->device, o->c, o->like, error);
  return o->call != NULL;
}

static BenchCall *
new_call (GradDevice * device, const BenchCase * c, const BenchCall * like, GError ** error)
{
  Opening o = { device, c, like, NULL };

  grad_device_call (device, FALSE, open_call, &o, error);
  return o.call;
}

typedef gboolean (*RunFunc) (gpointer what, GError ** error);

typedef struct
{
  GradDevice *device;
  RunFunc run;
  gpointer what;
  guint count;
  gdouble ms;                   /* of one of them */
} Timing;

static gdouble
now_ms (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

static gboolean
time_run (gpointer data, GError ** error)
{
  Timing *t = data;
  GradDeviceClass *klass = GRAD_DEVICE_GET_CLASS (t->device);
  gdouble start = now_ms ();

  for (guint i = 0; i < t->count; i++)
    if (!t->run (t->what, error))
      return FALSE;
  if (klass->finish != NULL && !klass->finish (t->device, error))
    return FALSE;
  t->ms = (now_ms () - start) / t->count;
  return TRUE;
}

static gint
compare (gconstpointer a, gconstpointer b)
{
  return *(const gdouble *) a < *(const gdouble *) b ? -1 : 1;
}

/* Median over the rounds, NAN after an error */
static gdouble
median_ms (GradDevice * device, gboolean here, RunFunc run, gpointer what, GError ** error)
{
  Timing t = {.device = device,.run = run,.what = what,.count = 1 };
  g_autofree gdouble *times = g_new (gdouble, rounds);

  for (gint i = -2; i < rounds; i++) {  /* the first one is to warm up, the second one says how fast it is */
    if (!(here ? time_run (&t, error) : grad_device_call (device, FALSE, time_run, &t, error)))
      return NAN;
    if (i == -1)
      t.count = 1 + MIN_RUN_MS / MAX (t.ms, 1e-4);
    else if (i >= 0)
      times[i] = t.ms;
  }
  qsort (times, rounds, sizeof (gdouble), compare);
  return rounds % 2 ? times[rounds / 2] : (times[rounds / 2 - 1] + times[rounds / 2]) / 2;
}

/* ---- check */

/* The largest difference, of the largest value; NAN counts as infinite. */
static gdouble
distance (GradTensor * got, GradTensor * expected)
{
  gsize n = grad_shape_n_elements (&expected->shape);
  g_autofree gfloat *a = test_download (got), *b = test_download (expected);
  gdouble scale = 0, worst = 0;

  for (gsize i = 0; i < n; i++) {
    gdouble off = fabs ((gdouble) a[i] - b[i]);

    scale = MAX (scale, fabs (b[i]));
    if (!(off <= worst))
      worst = isnan (off) ? INFINITY : off;
  }
  return worst > 0 ? worst / scale : 0;
}

static gboolean
run_once (BenchCall * call, GError ** error)
{
  Timing t = {.device = call->device,.run = (RunFunc) bench_call_run,.what = call,.count = 1 };

  return call->c.kind == BENCH_RESIZE ? time_run (&t, error)
      : grad_device_call (call->device, FALSE, time_run, &t, error);
}

/* Prints one line of TAP. */
static gboolean
check (GradDevice * device, GradDevice * ref, const BenchCase * c, guint number)
{
  g_autofree gchar *name = bench_case_name (c);
  g_autoptr (GError) error = NULL;
  g_autoptr (BenchCall) got = new_call (device, c, NULL, &error);
  g_autoptr (BenchCall) expected = got ? new_call (ref, c, got, &error) : NULL;
  gdouble worst = 0;
  gboolean ok = expected != NULL && run_once (got, &error) && run_once (expected, &error);

  for (guint i = 0; ok && i < got->outputs->len; i++)
    worst = MAX (worst, distance (got->outputs->pdata[i], expected->outputs->pdata[i]));
  if (!ok)
    printf ("not ok %u %s\n# %s\n", number, name, error->message);
  else {
    ok = worst <= bench_call_tolerance (got);
    printf ("%s %u %s\n# off by %.2g of the largest value, allowed %.2g\n", ok ? "ok" : "not ok",
        number, name, worst, bench_call_tolerance (got));
  }
  fflush (stdout);
  return ok;
}

static gboolean
check_all (GradDevice * device, GArray * cases, GError ** error)
{
  g_autoptr (GradDevice) ref = open_device ("ref", error);
  gboolean ok = ref != NULL;

  printf ("1..%u\n", cases->len);
  for (guint i = 0; ref != NULL && i < cases->len; i++)
    ok = check (device, ref, &g_array_index (cases, BenchCase, i), i + 1) && ok;
  return ok;
}

/* ---- perf */

#ifdef HAVE_ONEDNN
typedef struct
{
  GradDevice *device;
  const BenchCase *c;
  BenchPeerAlgorithm algorithm;
  BenchPeer *peer;
} PeerOpening;

static gboolean
open_peer (gpointer data, GError ** error)
{
  PeerOpening *o = data;

  o->peer = bench_peer_new (o->device, o->c, o->algorithm, error);
  return o->peer != NULL;
}

/* NAN where oneDNN cannot do it */
static gboolean
time_peer (GradDevice * device, const BenchCase * c, BenchPeerAlgorithm algorithm, gdouble * ms,
    GError ** error)
{
  PeerOpening o = { device, c, algorithm, NULL };
  g_autoptr (GError) local = NULL;

  *ms = NAN;
  if (grad_device_call (device, FALSE, open_peer, &o, &local)) {
    *ms = median_ms (device, FALSE, (RunFunc) bench_peer_run, o.peer, &local);
    bench_peer_free (o.peer);
  }
  if (local == NULL || g_error_matches (local, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}
#endif

static gboolean
perf (GradDevice * device, const BenchCase * c, BenchResult * result, GError ** error)
{
  g_autoptr (BenchCall) call = new_call (device, c, NULL, error);
  gboolean ok;

  *result = (BenchResult) {.c = *c,.direct_ms = NAN,.auto_ms = NAN };
  if (call == NULL)
    return FALSE;
  result->flops = call->flops;
  result->bytes = call->bytes;
  result->ms = median_ms (device, c->kind == BENCH_RESIZE, (RunFunc) bench_call_run, call, error);
  ok = !isnan (result->ms);
#ifdef HAVE_ONEDNN
  if (c->kind < BENCH_CONV_INFER && g_str_equal (grad_device_get_name (device), "cpu"))
    ok = ok && time_peer (device, c, BENCH_PEER_DIRECT, &result->direct_ms, error)
        && time_peer (device, c, BENCH_PEER_AUTO, &result->auto_ms, error);
#endif
  return ok;
}

static gboolean
perf_all (GradDevice * device, GArray * cases, GError ** error)
{
  g_autoptr (GArray) results = g_array_new (FALSE, FALSE, sizeof (BenchResult));
  BenchMachine machine;

  bench_machine_init (&machine, device, batch, gflops);
  bench_report_machine (&machine);
  for (guint i = 0; i < cases->len; i++) {
    const BenchCase *c = &g_array_index (cases, BenchCase, i);
    BenchResult result;

    if (!perf (device, c, &result, error)) {
      g_autofree gchar *name = bench_case_name (c);

      g_prefix_error (error, "%s: ", name);
      return FALSE;
    }
    bench_report_case (&machine, &result);
    g_array_append_val (results, result);
  }
  bench_report_convolutions (&machine, results);
  return json == NULL || bench_report_json (&machine, results, json, error);
}

/* ---- */

static GArray *
choose_cases (void)
{
  GArray *cases = bench_cases_new (batch);
  g_autofree gchar *pattern = g_strdup_printf ("*%s*", filter);

  for (guint i = cases->len; filter != NULL && i > 0; i--) {
    g_autofree gchar *name = bench_case_name (&g_array_index (cases, BenchCase, i - 1));

    if (!g_pattern_match_simple (pattern, name))
      g_array_remove_index (cases, i - 1);
  }
  return cases;
}

int
main (int argc, char **argv)
{
  const GOptionEntry entries[] = {
    {"device", 0, 0, G_OPTION_ARG_STRING, &device_name, "cpu (default), cuda, ref", "NAME"},
    {"precision", 0, 0, G_OPTION_ARG_STRING, &precision_name, "default, auto, f32, bf16, tf32, or int8 with "
          "--filter=conv-infer", "NAME"},
    {"filter", 0, 0, G_OPTION_ARG_STRING, &filter, "Cases whose name contains this; * and ? match "
          "anything", "TEXT"},
    {"batch", 0, 0, G_OPTION_ARG_INT, &batch, "Batch of the network (check: 8, perf: 256)", "N"},
    {"threads", 0, 0, G_OPTION_ARG_INT, &threads, "Compute threads (one per processor)", "N"},
    {"rounds", 0, 0, G_OPTION_ARG_INT, &rounds, "Runs whose median is taken (7)", "N"},
    {"gflops", 0, 0, G_OPTION_ARG_DOUBLE, &gflops, "perf: what a GPU computes at most, for the floor", "GF/s"},
    {"json", 0, 0, G_OPTION_ARG_FILENAME, &json, "perf: where the figures go, too", "FILE"},
    {NULL}
  };
  g_autoptr (GOptionContext) options = g_option_context_new ("check|perf");
  g_autoptr (GradDevice) device = NULL;
  g_autoptr (GArray) cases = NULL;
  g_autoptr (GError) error = NULL;
  gboolean checking, ok;

  setlocale (LC_ALL, "C");
  gst_init (NULL, NULL);
  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, &error) || argc != 2
      || !(g_str_equal (argv[1], "check") || g_str_equal (argv[1], "perf")) || batch < 0
      || threads < 0 || rounds < 1) {
    fprintf (stderr, "kernels: %s\n", error ? error->message : "see kernels --help");
    return 2;
  }
  checking = g_str_equal (argv[1], "check");
  if (batch == 0)
    batch = checking ? 8 : 256;
  if (precision_name == NULL)
    precision_name = "default";
  cases = choose_cases ();
  if (cases->len == 0) {
    fprintf (stderr, "kernels: no case contains %s\n", filter);
    return 2;
  }
  device = open_device (device_name ? device_name : "cpu", &error);
  ok = device != NULL && (checking ? check_all : perf_all) (device, cases, &error);
  if (error != NULL)
    fprintf (stderr, "kernels: %s\n", error->message);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
