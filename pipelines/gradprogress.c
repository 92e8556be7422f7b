/* GradStreamer: what the runner prints while a network trains
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradprogress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define BAR_MIN 8               /* columns of a bar with its brackets, at least … */
#define BAR_MAX 32              /* … and at most */
#define DRAW_INTERVAL (G_USEC_PER_SEC / 10)
#define LINE_INTERVAL (10 * G_USEC_PER_SEC)

struct _GradProgress
{
  gboolean terminal, quiet;
  GstStructure *train;          /* epoch that waits for its evaluation … */
  gchar *saved;                 /* … and what was saved meanwhile */
  gint64 next;                  /* earliest time of the next bar or line */
  gboolean bar;                 /* one is on the screen */
};

static guint
get_uint (const GstStructure * s, const gchar * field)
{
  guint value = 0;

  gst_structure_get_uint (s, field, &value);
  return value;
}

/* NaN when it is missing */
static gdouble
get_double (const GstStructure * s, const gchar * field)
{
  gdouble value = NAN;

  gst_structure_get_double (s, field, &value);
  return value;
}

static gboolean
is_phase (const GstStructure * s, const gchar * phase)
{
  return g_strcmp0 (gst_structure_get_string (s, "phase"), phase) == 0;
}

/* "", "7" or "7/10" */
static gchar *
format_count (guint n, guint of)
{
  return of > 0 ? g_strdup_printf ("%u/%u", n, of) : g_strdup_printf ("%u", n);
}

static gchar *
format_duration (gdouble seconds)
{
  guint64 s = seconds + 0.5;
  guint hours = s / 3600, minutes = s / 60 % 60;

  if (hours > 0)
    return g_strdup_printf ("%u:%02u:%02u", hours, minutes, (guint) (s % 60));
  return g_strdup_printf ("%u:%02u", minutes, (guint) (s % 60));
}

typedef enum
{
  PART_LOSS,
  PART_ACCURACY,
  PART_SPEED,
  PART_LEFT,
  N_PARTS
} Part;

/* NULL for what is unknown */
static void
format_parts (const GstStructure * step, gchar ** parts)
{
  gdouble loss = get_double (step, "loss"), accuracy = get_double (step, "accuracy");
  gdouble speed = get_double (step, "images-per-second"), left = get_double (step, "seconds-left");

  parts[PART_LOSS] = gst_structure_has_field (step, "loss") ?
      g_strdup_printf ("loss %.4f", loss) : NULL;       /* a NaN is to be seen */
  parts[PART_ACCURACY] = gst_structure_has_field (step, "accuracy") ?
      g_strdup_printf ("acc %.3f", accuracy) : NULL;
  parts[PART_SPEED] = speed > 0 ?
      g_strdup_printf (speed < 10 ? "%.1f img/s" : "%.0f img/s", speed) : NULL;
  parts[PART_LEFT] = NULL;
  if (left >= 0 && left < 1e9) {
    g_autofree gchar *duration = format_duration (left);

    parts[PART_LEFT] = g_strdup_printf ("%s left", duration);
  }
}

static gchar *
format_bar (guint width, guint n, guint of)
{
  gchar *bar = g_strnfill (width, ' ');
  guint inner = width - 2, filled = (guint64) MIN (n, of) * inner / of;

  bar[0] = '[';
  bar[width - 1] = ']';
  memset (bar + 1, '=', filled);
  if (filled < inner)
    bar[1 + filled] = '>';
  return bar;
}

gchar *
grad_progress_bar (const GstStructure * step, guint columns)
{
  static const Part dispensable[] = { PART_SPEED, PART_ACCURACY, PART_LOSS, PART_LEFT };
  guint batch = get_uint (step, "batch"), batches = get_uint (step, "batches");
  g_autofree gchar *epoch = format_count (get_uint (step, "epoch"), get_uint (step, "epochs"));
  g_autofree gchar *count = format_count (batch, batches);
  g_autofree gchar *head = g_strdup_printf ("epoch %s %s", epoch,
      is_phase (step, "evaluate") ? "test " : "");
  g_autoptr (GString) tail = g_string_new (NULL);
  guint room = batches > 0 ? BAR_MIN + 1 : 0;
  gchar *parts[N_PARTS];
  guint drop = 0;

  format_parts (step, parts);
  while (TRUE) {
    g_string_assign (tail, count);
    for (guint i = 0; i < N_PARTS; i++)
      if (parts[i] != NULL)
        g_string_append_printf (tail, " %s", parts[i]);
    if (strlen (head) + room + tail->len <= columns || drop == G_N_ELEMENTS (dispensable))
      break;
    g_clear_pointer (&parts[dispensable[drop++]], g_free);
  }
  for (guint i = 0; i < N_PARTS; i++)
    g_free (parts[i]);

  if (batches > 0 && strlen (head) + room + tail->len <= columns) {
    g_autofree gchar *bar =
        format_bar (MIN (columns - strlen (head) - 1 - tail->len, BAR_MAX), batch, batches);

    return g_strdup_printf ("%s%s %s", head, bar, tail->str);
  }
  g_string_prepend (tail, head);
  g_string_truncate (tail, MIN (tail->len, columns));
  return g_string_free (g_steal_pointer (&tail), FALSE);
}

gchar *
grad_progress_line (const GstStructure * step)
{
  g_autofree gchar *epoch = format_count (get_uint (step, "epoch"), get_uint (step, "epochs"));
  g_autofree gchar *count = format_count (get_uint (step, "batch"), get_uint (step, "batches"));
  GString *line = g_string_new (NULL);
  gchar *parts[N_PARTS];

  g_string_printf (line, "epoch %s%s, batch %s", epoch,
      is_phase (step, "evaluate") ? ", test" : "", count);
  format_parts (step, parts);
  for (guint i = 0; i < N_PARTS; i++) {
    if (parts[i] != NULL)
      g_string_append_printf (line, ", %s", parts[i]);
    g_free (parts[i]);
  }
  return g_string_free (line, FALSE);
}

gchar *
grad_progress_epoch (const GstStructure * train, const GstStructure * evaluate)
{
  const GstStructure *any = train != NULL ? train : evaluate;
  gdouble seconds = get_double (evaluate != NULL ? evaluate : train, "seconds");
  GString *line = g_string_new (NULL);

  g_string_printf (line, "epoch %u, loss %.4f", get_uint (any, "epoch"), get_double (any, "loss"));
  if (train != NULL)
    g_string_append_printf (line, ", train acc %.3f", get_double (train, "accuracy"));
  if (evaluate != NULL)
    g_string_append_printf (line, ", test acc %.3f", get_double (evaluate, "accuracy"));
  if (seconds >= 0)
    g_string_append_printf (line, ", time %.1f s", seconds);
  return g_string_free (line, FALSE);
}

gchar *
grad_progress_device (const GstStructure * device)
{
  const gchar *name = gst_structure_get_string (device, "name");
  const gchar *precision = gst_structure_get_string (device, "precision");
  guint threads = get_uint (device, "threads");
  GString *line = g_string_new ("computing on ");

  g_string_append (line, name ? name : "an unnamed device");
  if (precision != NULL)
    g_string_append_printf (line, ", %s", precision);
  if (threads > 0)
    g_string_append_printf (line, ", %u thread%s", threads, threads > 1 ? "s" : "");
  return g_string_free (line, FALSE);
}

gchar *
grad_progress_saved (const GstStructure * saved)
{
  const gchar *location = gst_structure_get_string (saved, "location");
  guint64 step = 0;

  gst_structure_get_uint64 (saved, "step", &step);
  return g_strdup_printf ("saved %s (step %" G_GUINT64_FORMAT ")", location ? location : "", step);
}

GradProgress *
grad_progress_new (gboolean terminal, gboolean quiet)
{
  GradProgress *self = g_new0 (GradProgress, 1);

  self->terminal = terminal;
  self->quiet = quiet;
  return self;
}

void
grad_progress_clear (GradProgress * self)
{
  if (self->bar)
    fputs ("\r\033[K", stderr);
  self->bar = FALSE;
}

static void
print (GradProgress * self, gchar * line)
{
  grad_progress_clear (self);
  puts (line);
  fflush (stdout);
  g_free (line);
}

static void
print_epoch (GradProgress * self, const GstStructure * evaluate)
{
  print (self, grad_progress_epoch (self->train, evaluate));
  g_clear_pointer (&self->train, gst_structure_free);
  if (self->saved != NULL)
    print (self, g_steal_pointer (&self->saved));
  if (self->terminal)
    self->next = 0;             /* the next pass is drawn at once */
}

static void
handle_epoch (GradProgress * self, const GstStructure * message)
{
  if (gst_structure_has_field (message, "beside")) {
    gboolean evaluate = is_phase (message, "evaluate");

    print (self, grad_progress_epoch (evaluate ? NULL : message, evaluate ? message : NULL));
  } else if (is_phase (message, "evaluate")) {
    if (self->train != NULL && get_uint (self->train, "epoch") != get_uint (message, "epoch"))
      print_epoch (self, NULL);
    print_epoch (self, message);
  } else {
    grad_progress_finish (self);
    self->train = gst_structure_copy (message);
  }
}

static void
handle_saved (GradProgress * self, const GstStructure * message)
{
  if (self->train == NULL) {
    print (self, grad_progress_saved (message));
  } else {
    g_free (self->saved);
    self->saved = grad_progress_saved (message);
  }
}

static guint
terminal_columns (void)
{
  struct winsize size;

  if (ioctl (fileno (stderr), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return 80;
  return size.ws_col;
}

static void
handle_step (GradProgress * self, const GstStructure * message, gint64 now)
{
  gboolean last = get_uint (message, "batch") == get_uint (message, "batches");

  if (self->quiet || (now < self->next && !(last && self->terminal)))
    return;
  if (self->terminal) {
    /* the last column stays free: writing to it wraps on some terminals */
    g_autofree gchar *bar = grad_progress_bar (message, terminal_columns () - 1);

    fprintf (stderr, "\r%s\033[K", bar);
    self->bar = TRUE;
    self->next = now + DRAW_INTERVAL;
  } else {
    g_autofree gchar *line = grad_progress_line (message);

    fprintf (stderr, "%s\n", line);
    self->next = now + LINE_INTERVAL;
  }
  fflush (stderr);
}

gboolean
grad_progress_handle (GradProgress * self, const GstStructure * message, gint64 now)
{
  if (gst_structure_has_name (message, "grad-step"))
    handle_step (self, message, now);
  else if (gst_structure_has_name (message, "grad-epoch"))
    handle_epoch (self, message);
  else if (gst_structure_has_name (message, "grad-saved"))
    handle_saved (self, message);
  else if (!gst_structure_has_name (message, "grad-device"))
    return FALSE;
  else if (!self->quiet)
    print (self, grad_progress_device (message));
  return TRUE;
}

void
grad_progress_finish (GradProgress * self)
{
  if (self->train != NULL)
    print_epoch (self, NULL);
  grad_progress_clear (self);
}

void
grad_progress_free (GradProgress * self)
{
  gst_clear_structure (&self->train);
  g_free (self->saved);
  g_free (self);
}
