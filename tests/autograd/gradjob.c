/* Tests of what is told of each job: FLOPs and bytes counted by hand, kinds, times
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testmodel.h"
#include "lib/autograd/gradgraph-private.h"
#include "lib/autograd/gradjob-private.h"

typedef struct
{
  const gchar *name;
  GradUnit *(*make) (void);
  GradShape inputs[2];
  gint unwanted;                /* input whose gradient is not wanted, -1 for none */
  gdouble flops, elements;      /* forward, in training */
  gdouble back_flops, back_elements;
  gdouble evaluate_elements;
} Case;

static GradUnit *
conv (void)
{
  return grad_conv_unit_new ("conv", NULL, 4, 3, 1, 1, TRUE, FALSE, FALSE);
}

/* whose bias is dead */
static GradUnit *
conv_norm (void)
{
  return grad_conv_unit_new ("layer1.0.conv1", "layer1.0.bn1", 4, 3, 1, 1, TRUE, TRUE, TRUE);
}

static GradUnit *
shortcut (void)
{
  return grad_conv_unit_new ("layer2.0.downsample.0", "layer2.0.downsample.1", 6, 1, 2, 0, FALSE,
      FALSE, FALSE);
}

static GradUnit *
linear (void)
{
  return grad_linear_unit_new ("fc", 4, TRUE);
}

static GradUnit *
loss (void)
{
  return grad_loss_unit_new (0);
}

/* y of conv is (2, 4, 6, 5): 240 values of 27 products each; 108 weights
 * y of conv_norm and the residual are (3, 4, 5, 5): 300 values of 36 products; 144 weights,
 * gamma, beta; z, mean and var are kept
 * y of shortcut is (2, 6, 2, 2): 48 values of 3 products; 18 weights */
static const Case cases[] = {
  {"conv", conv, {GRAD_SHAPE (2, 3, 6, 5)}, -1,
      2 * 240 * 27, 180 + 240 + 108 + 4,
      2 * 2 * 240 * 27, 240 + 180 + 2 * (108 + 4) + 180, 180 + 240 + 108 + 4},
  {"conv, no dx", conv, {GRAD_SHAPE (2, 3, 6, 5)}, 0,
      2 * 240 * 27, 180 + 240 + 108 + 4,
      2 * 240 * 27, 240 + 180 + 2 * (108 + 4), 180 + 240 + 108 + 4},
  {"layer1.0.conv1+bn1", conv_norm, {GRAD_SHAPE (3, 4, 5, 5), GRAD_SHAPE (3, 4, 5, 5)}, -1,
      2 * 300 * 36, 2 * 300 + 300 + (144 + 4 + 4) + (300 + 4 + 4),
      2 * 2 * 300 * 36, 300 + (3 * 300 + 4 + 4) + 2 * (144 + 4 + 4) + 2 * 300,
      2 * 300 + 300 + (144 + 4 + 4)},
  {"layer2.0.downsample.0+1", shortcut, {GRAD_SHAPE (2, 3, 4, 4)}, -1,
      2 * 48 * 3, 96 + 48 + (18 + 6 + 6) + (48 + 6 + 6),
      2 * 2 * 48 * 3, 48 + (96 + 48 + 6 + 6) + 2 * (18 + 6 + 6) + 96,
      96 + 48 + (18 + 6 + 6)},
  {"fc", linear, {GRAD_SHAPE (3, 6)}, -1,
      2 * 12 * 6, 18 + 12 + 24 + 4,
      2 * 2 * 12 * 6, 12 + 18 + 2 * (24 + 4) + 18, 18 + 12 + 24 + 4},
  {"mean", grad_global_pool_unit_new, {GRAD_SHAPE (3, 4, 3, 5)}, -1,
      0, 180 + 12, 0, 12 + 180, 180 + 12},
  {"sum", grad_add_unit_new, {GRAD_SHAPE (2, 3, 4, 5), GRAD_SHAPE (2, 3, 4, 5)}, -1,
      0, 3 * 120, 0, 3 * 120, 3 * 120},
  /* the logits pass through, the gradient is made in forward */
  {"cross-entropy", loss, {GRAD_SHAPE (4, 5)}, -1, 0, 20 + 20, 0, 0, 20},
};

typedef struct
{
  GradUnit *unit;               /* whose jobs are looked at */
  GradJob jobs[GRAD_N_JOBS];    /* the last one of each kind */
  guint n[GRAD_N_JOBS];
  GstClockTime time;            /* of all jobs, of other units, too */
  GThread *thread;
} Seen;

static void
on_job (const GradJob * job, gpointer data)
{
  Seen *seen = data;

  seen->time += job->time;
  seen->thread = g_thread_self ();
  if (job->unit == seen->unit) {
    seen->jobs[job->kind] = *job;
    seen->n[job->kind]++;
  }
}

static void
open_case (TestModel * m, const gchar * device, const Case * c)
{
  test_model_init (m, test_device (device), c->make (), NULL, c->inputs[1].rank > 0 ? 2 : 1,
      c->inputs, 1);
  if (c->unwanted >= 0)
    m->unwanted[c->unwanted] = TRUE;
}

static void
test_counts (gconstpointer data)
{
  const Case *c = data;

  for (const gchar * const *device = test_devices (); *device; device++) {
    gdouble size = g_str_equal (*device, "ref") ? sizeof (gdouble) : sizeof (gfloat);
    g_autofree gchar *name = NULL;
    Seen seen = { 0 };
    TestModel m;

    open_case (&m, *device, c);
    seen.unit = m.unit;
    g_assert_true (grad_job_set_listener (on_job, &seen));
    test_model_backward (&m, FALSE, FALSE);
    test_model_commit (&m);
    test_model_evaluate (&m);
    g_assert_true (grad_job_set_listener (NULL, &seen));

    name = grad_unit_dup_name (m.unit);
    g_assert_cmpstr (name, ==, c->unwanted >= 0 ? "conv" : c->name);
    g_assert_cmpfloat (seen.jobs[GRAD_JOB_FORWARD].flops, ==, c->flops);
    g_assert_cmpfloat (seen.jobs[GRAD_JOB_FORWARD].bytes, ==, c->elements * size);
    g_assert_cmpfloat (seen.jobs[GRAD_JOB_BACKWARD].flops, ==, c->back_flops);
    g_assert_cmpfloat (seen.jobs[GRAD_JOB_BACKWARD].bytes, ==, c->back_elements * size);
    g_assert_cmpfloat (seen.jobs[GRAD_JOB_EVALUATE].flops, ==, c->flops);
    g_assert_cmpfloat (seen.jobs[GRAD_JOB_EVALUATE].bytes, ==, c->evaluate_elements * size);
    test_model_clear (&m);
  }
}

/* Each job is told once, from the compute thread, with its time; nobody is told of the last one. */
static void
test_kinds (void)
{
  static const GradAdamOptions adam = GRAD_ADAM_DEFAULTS;
  static const guint expected[GRAD_N_JOBS] = {
    [GRAD_JOB_FORWARD] = 2,[GRAD_JOB_BACKWARD] = 2,[GRAD_JOB_EVALUATE] = 1,[GRAD_JOB_INFER] = 1,
    [GRAD_JOB_MEASURE] = 2,[GRAD_JOB_UPDATE] = 2,[GRAD_JOB_COMMIT] = 2,[GRAD_JOB_PLAN] = 2
  };
  GradValue inputs[2] = { {NULL, NULL}, {NULL, NULL} }, output;
  Seen seen = { 0 }, other = { 0 };
  GstClockTime begin;
  TestModel m;

  open_case (&m, "ref", &cases[2]);
  seen.unit = m.unit;
  begin = gst_util_get_timestamp ();
  g_assert_true (grad_job_set_listener (on_job, &seen));
  g_assert_false (grad_job_set_listener (on_job, &other));
  g_assert_false (grad_job_set_listener (NULL, &other));
  for (guint i = 0; i < 2; i++) {
    test_model_backward (&m, FALSE, FALSE);
    g_assert_true (grad_network_measure (m.network, NULL, 0, NULL));
    g_assert_true (grad_network_update_adam (m.network, &adam, NULL));
    test_model_commit (&m);
  }
  test_model_evaluate (&m);
  for (guint i = 0; i < 2; i++)
    inputs[i].tensor = m.inputs[i];
  g_assert_true (grad_unit_forward (m.unit, NULL, TRUE, inputs, 2, &output, NULL));
  grad_value_clear (&output);
  g_assert_true (grad_job_set_listener (NULL, &seen));
  g_assert_cmpuint (seen.time, <=, gst_util_get_timestamp () - begin);
  g_assert_true (seen.thread != NULL && seen.thread != g_thread_self ());
  test_model_evaluate (&m);

  for (guint kind = 0; kind < GRAD_N_JOBS; kind++) {
    g_assert_cmpuint (seen.n[kind], ==, expected[kind]);
    g_assert_cmpuint (seen.jobs[kind].time, >, 0);
    g_assert_cmpuint (seen.jobs[kind].start, >=, begin);
  }
  g_assert_cmpfloat (seen.jobs[GRAD_JOB_MEASURE].bytes, ==, (144 + 4 + 4) * sizeof (gdouble));
  /* three tensors read and written, one read */
  g_assert_cmpfloat (seen.jobs[GRAD_JOB_UPDATE].bytes, ==, 7 * (144 + 4 + 4) * sizeof (gdouble));
  g_assert_cmpuint (other.time, ==, 0);
  test_model_clear (&m);
}

static guint n_waits;
static gboolean device_fails;

static gboolean
finish (GradDevice * device, GError ** error)
{
  n_waits++;
  g_usleep (2000);
  if (device_fails)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FAILED, "lost");
  return !device_fails;
}

/* A device that computes on its own is waited for before each job and in its time; its errors are
 * the job's. */
static void
test_wait (void)
{
  Seen seen = { 0 };
  g_autoptr (GError) error = NULL;
  GradDeviceClass *klass;
  GradValue input = { NULL, NULL }, output;
  TestModel m;

  open_case (&m, "ref", &cases[4]);
  seen.unit = m.unit;
  klass = GRAD_DEVICE_GET_CLASS (m.device);
  g_assert_null (klass->finish);
  klass->finish = finish;
  input.tensor = m.inputs[0];
  g_assert_true (grad_unit_forward (m.unit, NULL, FALSE, &input, 1, &output, NULL));
  grad_value_clear (&output);
  g_assert_cmpuint (n_waits, ==, 0);

  g_assert_true (grad_job_set_listener (on_job, &seen));
  g_assert_true (grad_unit_forward (m.unit, NULL, FALSE, &input, 1, &output, NULL));
  grad_value_clear (&output);
  g_assert_cmpuint (n_waits, ==, 2);
  g_assert_cmpuint (seen.jobs[GRAD_JOB_EVALUATE].time, >=, 2 * GST_MSECOND);
  device_fails = TRUE;
  g_assert_false (grad_unit_forward (m.unit, NULL, FALSE, &input, 1, &output, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_FAILED);
  g_assert_cmpuint (seen.n[GRAD_JOB_EVALUATE], ==, 1);
  g_assert_true (grad_job_set_listener (NULL, &seen));
  klass->finish = NULL;
  test_model_clear (&m);
}

/* ids tell units apart, owners are those of the graph */
static void
test_owner (void)
{
  g_autoptr (GradGraph) graph = grad_graph_new ();
  GradUnit *first = grad_global_pool_unit_new (), *second = linear ();

  grad_graph_add (graph, second, grad_graph_add (graph, first, GRAD_GRAPH_INPUT));
  g_assert_null (grad_unit_get_owner (first));
  grad_graph_set_owner (graph, &graph);
  g_assert_true (grad_unit_get_owner (first) == &graph && grad_unit_get_owner (second) == &graph);
  g_assert_cmpuint (grad_unit_get_id (first), <, grad_unit_get_id (second));
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = g_strconcat ("/gradjob/counts/", cases[i].name, NULL);

    g_test_add_data_func (path, &cases[i], test_counts);
  }
  g_test_add_func ("/gradjob/kinds", test_kinds);
  g_test_add_func ("/gradjob/wait", test_wait);
  g_test_add_func ("/gradjob/owner", test_owner);
  return g_test_run ();
}
