/* GradStreamer: the course of a training, from its log
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradhistory-private.h"
#include "../model/gradjson-private.h"

#include <math.h>
#include <string.h>

typedef struct
{
  gboolean train, train_epoch, evaluate;
  gdouble epoch, step, loss, accuracy, learning_rate;
} Line;

/* What later versions may add is left out. */
static void
read_member (GradJson * json, Line * line)
{
  const struct
  {
    const gchar *key;
    gdouble *value;
  } numbers[] = {
    {"epoch", &line->epoch}, {"step", &line->step}, {"loss", &line->loss},
    {"accuracy", &line->accuracy}, {"learning_rate", &line->learning_rate}
  };
  const gchar *key = grad_json_key (json);
  gdouble number;

  json->p += strspn (json->p, " \t");
  if (*json->p == '"') {
    const gchar *text = grad_json_string (json);

    if (g_str_equal (key, "phase")) {
      line->train = g_str_equal (text, "train");
      line->train_epoch = g_str_equal (text, "train-epoch");
      line->evaluate = g_str_equal (text, "evaluate");
    }
    return;
  }
  number = grad_json_number (json);
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    if (g_str_equal (key, numbers[i].key))
      *numbers[i].value = number;
}

/* Numbers that count are finite, and not so large that they cannot be drawn. */
static gboolean
is_count (gdouble number)
{
  return number >= 0 && number < 1e15;
}

static void
add (GradHistory * history, const Line * line)
{
  if (line->train) {
    GradHistoryStep step = { line->step, line->epoch, 1, line->loss, line->accuracy,
      line->learning_rate
    };

    grad_history_add_step (history, &step);
  } else if (line->train_epoch || line->evaluate)
    grad_history_add_pass (history, line->epoch, line->evaluate, line->loss, line->accuracy);
}

static gboolean
read_line (GradHistory * history, gchar * text, GradJson * json)
{
  Line line = {.step = 0,.epoch = 0,.loss = NAN,.accuracy = NAN,.learning_rate = NAN };

  *json = (GradJson) {.p = text };
  for (guint i = 0; grad_json_item (json, "{}", i); i++)
    read_member (json, &line);
  if (!grad_json_end (json))
    return FALSE;
  if (!is_count (line.step) || !(is_count (line.epoch) && line.epoch < G_MAXUINT))
    return grad_json_fail (json, "a step and an epoch that can be");
  add (history, &line);
  return TRUE;
}

gboolean
grad_history_load (GradHistory * history, const gchar * location, GError ** error)
{
  g_autoptr (GError) cause = NULL;
  g_autofree gchar *text = NULL;
  gchar *line, *end;

  if (!g_file_get_contents (location, &text, NULL, &cause)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_IO, "cannot read the log: %s", cause->message);
    return FALSE;
  }
  line = text;
  for (guint n = 1; (end = strchr (line, '\n')) != NULL; n++, line = end + 1) {
    GradJson json;

    *end = '\0';
    if (!read_line (history, line, &json)) {
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%s, line %u: expected %s: this is no log of a "
          "training; give a file that was the log-location of one", location, n, json.expected);
      return FALSE;
    }
  }
  return TRUE;
}

GradHistory *
grad_history_read (const gchar * location, GError ** error)
{
  g_autoptr (GradHistory) history = grad_history_new ();

  return grad_history_load (history, location, error) ? g_steal_pointer (&history) : NULL;
}
