/* GradStreamer benchmark of kernels: tables and JSON
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report.h"
#include "peaks.h"

#include <math.h>
#include <stdio.h>

/* Whose convolutions */
enum
{ OURS, DIRECT, AUTO, BEST, N_SUMS };

static const gchar *const sum_names[N_SUMS] = { "ours", "direct", "auto", "best" };

#define N_DIRECTIONS (BENCH_CONV_BACKWARD_WEIGHTS + 1)

void
bench_machine_init (BenchMachine * m, GradDevice * device, gint batch, gdouble gflops)
{
  g_autoptr (GEnumClass) precisions = g_type_class_ref (GRAD_TYPE_PRECISION);
  gboolean here = !g_str_has_prefix (grad_device_get_name (device), "cuda");
  guint threads = grad_device_get_threads (device);

  *m = (BenchMachine) {.device = grad_device_get_name (device),
    .precision = g_enum_get_value (precisions, grad_device_get_precision (device))->value_nick,
    .batch = batch,.threads = threads,.f32_one = NAN,.f32_all = NAN,.bf16_one = NAN,
    .bf16_all = NAN,.copy_one = NAN,.copy_all = NAN
  };
  if (!here) {                  /* its arithmetic is for who runs this to know */
    m->f32_all = m->bf16_all = gflops > 0 ? gflops : NAN;
    m->copy_all = bench_device_copy (device);
    return;
  }
  m->f32_one = bench_peak_f32 (1);
  m->f32_all = bench_peak_f32 (threads);
  m->bf16_one = bench_peak_bf16 (1);
  m->bf16_all = bench_peak_bf16 (threads);
  m->copy_one = bench_peak_copy (1);
  m->copy_all = bench_peak_copy (threads);
}

/* ms, NAN where nothing is known of the machine */
static gdouble
floor_ms (const BenchMachine * m, const BenchResult * r)
{
  gdouble gflops = g_str_equal (m->precision, "bf16") ? fmax (m->bf16_all, m->f32_all) : m->f32_all;
  gdouble arithmetic = r->flops / gflops / 1e6, memory = r->bytes / m->copy_all / 1e6;

  return MAX (arithmetic, memory);
}

/* nothing for what was not measured, or is nothing */
static void
print_number (gint width, gint digits, gdouble value)
{
  if (isfinite (value) && value > 0)
    printf (" %*.*f", width, digits, value);
  else
    printf (" %*s", width, "-");
}

static void
print_peak (const gchar * what, gdouble one, gdouble all, const gchar * unit)
{
  if (!isnan (all))
    printf ("  %-32s %7.1f %7.1f %s\n", what, one, all, unit);
}

void
bench_report_machine (const BenchMachine * m)
{
  printf ("device %s, precision %s, batch %d, %u threads\n\n", m->device, m->precision, m->batch,
      m->threads);
  if (!isnan (m->f32_one))
    printf ("peaks of 1 and %u threads\n", m->threads);
  print_peak ("multiply-add in f32", m->f32_one, m->f32_all, "GF/s");
  print_peak ("AVX-512's products of bf16", m->bf16_one, m->bf16_all, "GF/s");
  print_peak ("memory, copied", m->copy_one, m->copy_all, "GB/s");
  printf ("%s%-50s %5s %10s %8s %7s %6s %14s %10s\n", isnan (m->copy_all) ? "" : "\n", "case",
      "times", "ms", "GF/s", "GB/s", "floor", "oneDNN direct", "auto, ms");
}

void
bench_report_case (const BenchMachine * m, const BenchResult * r)
{
  g_autofree gchar *name = bench_case_name (&r->c);

  printf ("%-50s %5d", name, r->c.times);
  print_number (10, 4, r->ms);
  print_number (8, 1, r->flops / r->ms / 1e6);
  print_number (7, 1, r->bytes / r->ms / 1e6);
  print_number (5, 0, 100 * floor_ms (m, r) / r->ms);
  printf ("%%");
  print_number (14, 4, r->direct_ms);
  print_number (10, 4, r->auto_ms);
  printf ("\n");
  fflush (stdout);
}

/* ms of a training step for each direction; FALSE when not all convolutions of the network are there */
static gboolean
sum_up (GArray * results, gdouble sums[N_SUMS][N_DIRECTIONS])
{
  g_autoptr (GArray) cases = bench_cases_new (1);
  guint missing = 0;

  for (guint i = 0; i < cases->len; i++) {
    const BenchCase *c = &g_array_index (cases, BenchCase, i);

    missing += c->kind < N_DIRECTIONS && c->times > 0;
  }
  for (guint i = 0; i < results->len; i++) {
    const BenchResult *r = &g_array_index (results, BenchResult, i);
    const gdouble ms[N_SUMS] = { r->ms, r->direct_ms, r->auto_ms, fmin (r->direct_ms, r->auto_ms) };

    if (r->c.kind >= N_DIRECTIONS || r->c.times == 0)
      continue;
    missing--;
    for (guint k = 0; k < N_SUMS; k++)
      sums[k][r->c.kind] += r->c.times * ms[k];
  }
  return missing == 0;
}

static gdouble
images_per_second (const BenchMachine * m, const gdouble * sums, guint first, guint n)
{
  gdouble ms = 0;

  for (guint i = first; i < first + n; i++)
    ms += sums[i];
  return m->batch / ms * 1000;
}

void
bench_report_convolutions (const BenchMachine * m, GArray * results)
{
  gdouble sums[N_SUMS][N_DIRECTIONS] = { 0 };

  if (!sum_up (results, sums))
    return;
  printf ("\nconvolutions alone, images/s %19s %14s %16s %14s\n", "forward", "backward data",
      "backward weights", "training step");
  for (guint k = 0; k < N_SUMS; k++)
    if (!isnan (sums[k][0]))
      printf ("  %-26s %19.1f %14.1f %16.1f %14.1f\n", k == OURS ? "ours"
          : k == DIRECT ? "oneDNN, direct" : k == AUTO ? "oneDNN, auto" : "oneDNN, the faster ones",
          images_per_second (m, sums[k], 0, 1), images_per_second (m, sums[k], 1, 1),
          images_per_second (m, sums[k], 2, 1), images_per_second (m, sums[k], 0, 3));
}

/* "name": value, null for what was not measured */
static void
add_number (GString * text, const gchar * before, const gchar * name, gdouble value)
{
  g_string_append_printf (text, "%s\"%s\": ", before, name);
  if (isfinite (value))
    g_string_append_printf (text, "%.7g", value);
  else
    g_string_append (text, "null");
}

static void
add_case (GString * text, const BenchMachine * m, const BenchResult * r)
{
  const BenchCase *c = &r->c;
  g_autofree gchar *name = bench_case_name (c);

  g_string_append_printf (text, "{\"name\": \"%s\", \"kind\": \"%s\", \"n\": %d, \"c\": %d, "
      "\"h\": %d, \"w\": %d, \"k\": %d, \"kernel\": %d, \"stride\": %d, \"padding\": %d, \"bias\": %s, "
      "\"add\": %s, \"relu\": %s, \"times\": %d", name, bench_kind_name (c->kind), c->n, c->c, c->h,
      c->w, c->k, c->kernel, c->stride, c->padding, c->bias ? "true" : "false",
      c->add ? "true" : "false", c->relu ? "true" : "false", c->times);
  add_number (text, ", ", "ms", r->ms);
  add_number (text, ", ", "gflops", r->flops / r->ms / 1e6);
  add_number (text, ", ", "gbytes", r->bytes / r->ms / 1e6);
  add_number (text, ", ", "floor_ms", floor_ms (m, r));
  add_number (text, ", ", "onednn_direct_ms", r->direct_ms);
  add_number (text, ", ", "onednn_auto_ms", r->auto_ms);
  g_string_append (text, "}");
}

gboolean
bench_report_json (const BenchMachine * m, GArray * results, const gchar * location,
    GError ** error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gdouble sums[N_SUMS][N_DIRECTIONS] = { 0 };

  g_string_append_printf (text, "{\"device\": \"%s\", \"precision\": \"%s\", \"batch\": %d, "
      "\"threads\": %u,\n \"peak\": {", m->device, m->precision, m->batch, m->threads);
  add_number (text, "", "f32_1", m->f32_one);
  add_number (text, ", ", "f32", m->f32_all);
  add_number (text, ", ", "bf16_1", m->bf16_one);
  add_number (text, ", ", "bf16", m->bf16_all);
  add_number (text, ", ", "copy_1", m->copy_one);
  add_number (text, ", ", "copy", m->copy_all);
  g_string_append (text, "},\n \"convolutions\": {");
  if (sum_up (results, sums))
    for (guint k = 0; k < N_SUMS; k++) {
      g_string_append_printf (text, "%s\"%s\": {", k ? ", " : "", sum_names[k]);
      add_number (text, "", "forward", images_per_second (m, sums[k], 0, 1));
      add_number (text, ", ", "backward_data", images_per_second (m, sums[k], 1, 1));
      add_number (text, ", ", "backward_weights", images_per_second (m, sums[k], 2, 1));
      add_number (text, ", ", "training", images_per_second (m, sums[k], 0, 3));
      g_string_append (text, "}");
    }
  g_string_append (text, "},\n \"cases\": [");
  for (guint i = 0; i < results->len; i++) {
    g_string_append (text, i ? ",\n  " : "\n  ");
    add_case (text, m, &g_array_index (results, BenchResult, i));
  }
  g_string_append (text, "]}\n");
  return g_file_set_contents (location, text->str, text->len, error);
}
