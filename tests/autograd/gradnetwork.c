/* Tests of turns and steps: who may compute, who waits, what ends a step
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testmodel.h"
#include "lib/autograd/gradnetwork-private.h"

#define LONG_ENOUGH 30000       /* microseconds after which someone who waits really waits */

/* One who wants to enter, in a thread of its own. */
typedef struct
{
  GradNetwork *network;
  GradPhase phase;
  guint64 source, sequence;
  gboolean flushing;
  GThread *thread;
  gint returned;                /* atomic */
  gboolean ok;
  GradStep *step;
} Entrant;

static gpointer
enter_in_thread (gpointer data)
{
  Entrant *e = data;

  e->ok = grad_network_enter (e->network, e->phase, e->source, e->sequence, &e->flushing,
      &e->step);
  g_atomic_int_set (&e->returned, TRUE);
  return NULL;
}

static void
start (Entrant * e, GradNetwork * network, GradPhase phase, guint64 source, guint64 sequence)
{
  *e = (Entrant) {.network = network,.phase = phase,.source = source,.sequence = sequence };
  e->thread = g_thread_new ("entrant", enter_in_thread, e);
}

static void
assert_waits (Entrant * e)
{
  g_usleep (LONG_ENOUGH);
  g_assert_false (g_atomic_int_get (&e->returned));
}

static GradStep *
join (Entrant * e, gboolean ok)
{
  g_thread_join (e->thread);
  g_assert_cmpint (e->ok, ==, ok);
  return e->step;
}

/* Enters without having to wait. */
static GradStep *
enter (GradNetwork * network, GradPhase phase, guint64 source, guint64 sequence)
{
  Entrant e = {.network = network,.phase = phase,.source = source,.sequence = sequence };

  enter_in_thread (&e);
  g_assert_true (e.ok);
  return e.step;
}

static GradNetwork *
new_network (void)
{
  GradNetwork *network = grad_network_new ("test");

  g_assert_true (grad_network_register_optimizer (network, network, NULL));
  return network;
}

/* A leaf applied to a tensor, or to what another one made; in and out are values. */
static GradValue
apply_leaf (GradNetwork * network, GradUnit * leaf, GradStep * step, const GradValue * in)
{
  GradValue out;

  g_assert_true (grad_unit_forward (leaf, step, FALSE, in, 1, &out, NULL));
  return out;
}

static GradUnit *
new_leaf (GradNetwork * network, GradTensor * tensor)
{
  GradUnit *leaf = test_leaf_new ();
  GradShape out;

  g_assert_true (grad_unit_prepare (leaf, tensor->device, network->store, &tensor->shape, 1, &out,
          NULL));
  return leaf;
}

static void
apply (GradNetwork * network, GradNode * root, GradTensor * tensor)
{
  root->grad = grad_tensor_ref (tensor);
  g_assert_true (grad_network_backward (network, root, FALSE, TRUE, NULL, NULL, NULL));
  g_assert_true (grad_network_commit (network, NULL));
}

/* Takes over the step. */
static void
apply_step (GradNetwork * network, GradStep * step)
{
  g_autoptr (GradDevice) device = test_device ("ref");
  g_autoptr (GradTensor) tensor = test_random (device, GRAD_SHAPE (1), 1, 0, 1);
  g_autoptr (GradUnit) leaf = new_leaf (network, tensor);
  GradValue out = apply_leaf (network, leaf, step, &(GradValue) { tensor, NULL });

  grad_step_unref (step);
  apply (network, out.node, tensor);
  grad_value_clear (&out);
}

static void
test_turns (void)
{
  g_autoptr (GradNetwork) network = new_network ();
  GradStep *first = enter (network, GRAD_PHASE_TRAIN, 1, 1), *second;
  Entrant next, evaluation;

  g_assert_nonnull (first);
  g_assert_true (enter (network, GRAD_PHASE_TRAIN, 1, 1) == first);     /* the second layer */
  grad_step_unref (first);
  start (&next, network, GRAD_PHASE_TRAIN, 1, 2);
  start (&evaluation, network, GRAD_PHASE_EVALUATE, 1, 3);
  assert_waits (&next);
  assert_waits (&evaluation);
  g_assert_null (enter (network, GRAD_PHASE_INFER, 7, 1));

  apply_step (network, first);
  second = join (&next, TRUE);
  g_assert_nonnull (second);
  g_assert_cmpuint (second->sequence, ==, 2);
  apply_step (network, second);
  g_assert_null (join (&evaluation, TRUE));
}

/* A step that nobody holds any more is aborted: others go on, and it may be tried again. */
static void
test_abort (void)
{
  g_autoptr (GradNetwork) network = new_network ();
  GradStep *step = enter (network, GRAD_PHASE_TRAIN, 1, 5);
  Entrant next;

  start (&next, network, GRAD_PHASE_TRAIN, 1, 6);
  assert_waits (&next);
  grad_step_ref (step);
  grad_step_unref (step);
  assert_waits (&next);
  grad_step_unref (step);
  step = join (&next, TRUE);
  g_assert_nonnull (step);
  grad_step_unref (step);
  step = enter (network, GRAD_PHASE_TRAIN, 1, 5);
  g_assert_nonnull (step);
  grad_step_unref (step);
  g_assert_cmpuint (grad_network_get_n_updates (network), ==, 0);
}

static void
test_flush (void)
{
  g_autoptr (GradNetwork) network = new_network ();
  GradStep *step = enter (network, GRAD_PHASE_TRAIN, 1, 1);
  Entrant flushed, patient;

  start (&flushed, network, GRAD_PHASE_TRAIN, 1, 2);
  start (&patient, network, GRAD_PHASE_EVALUATE, 1, 2);
  assert_waits (&flushed);
  grad_network_set_flushing (network, &flushed.flushing, TRUE);
  g_assert_null (join (&flushed, FALSE));
  assert_waits (&patient);
  g_assert_false (grad_network_enter (network, GRAD_PHASE_TRAIN, 1, 1, &flushed.flushing,
          &flushed.step));
  g_assert_null (flushed.step);

  grad_network_set_flushing (network, &flushed.flushing, FALSE);
  g_assert_true (grad_network_enter (network, GRAD_PHASE_TRAIN, 1, 1, &flushed.flushing,
          &flushed.step));
  g_assert_true (flushed.step == step);
  grad_step_unref (step);
  apply_step (network, step);
  g_assert_null (join (&patient, TRUE));
}

/* Sequence numbers of different sources have nothing to do with each other. */
static void
test_sources (void)
{
  g_autoptr (GradNetwork) network = new_network ();
  GradStep *step = enter (network, GRAD_PHASE_TRAIN, 1, 5), *other;
  Entrant same, older, later;

  start (&same, network, GRAD_PHASE_TRAIN, 2, 5);
  assert_waits (&same);
  start (&older, network, GRAD_PHASE_EVALUATE, 3, 1);
  assert_waits (&older);
  apply_step (network, step);
  other = join (&same, TRUE);
  g_assert_nonnull (other);
  g_assert_true (other->source == 2);
  start (&later, network, GRAD_PHASE_TRAIN, 1, 6);
  assert_waits (&later);
  apply_step (network, other);
  step = join (&later, TRUE);
  g_assert_nonnull (step);
  apply_step (network, step);
  g_assert_null (join (&older, TRUE));

  g_assert_null (enter (network, GRAD_PHASE_TRAIN, 2, 5));      /* applied */
  step = enter (network, GRAD_PHASE_TRAIN, 2, 6);
  g_assert_nonnull (step);
  g_assert_null (enter (network, GRAD_PHASE_EVALUATE, 3, 1));   /* the second layer, in front of that step's batch */
  apply_step (network, step);
  g_assert_null (enter (network, GRAD_PHASE_EVALUATE, 3, 3));
  g_assert_null (enter (network, GRAD_PHASE_EVALUATE, 3, 2));   /* still on its way */
  step = enter (network, GRAD_PHASE_TRAIN, 2, 7);
  g_assert_nonnull (step);
  g_assert_null (enter (network, GRAD_PHASE_EVALUATE, 3, 3));
  grad_step_unref (step);
}

/* A batch that comes late through a side branch neither waits nor records. */
static void
test_side_branch (void)
{
  g_autoptr (GradNetwork) network = new_network ();
  GradStep *step = enter (network, GRAD_PHASE_TRAIN, 1, 1);

  apply_step (network, step);
  g_assert_null (enter (network, GRAD_PHASE_TRAIN, 1, 1));
  step = enter (network, GRAD_PHASE_TRAIN, 1, 2);
  g_assert_null (enter (network, GRAD_PHASE_TRAIN, 1, 1));
  g_assert_null (enter (network, GRAD_PHASE_EVALUATE, 1, 1));
  g_assert_null (enter (network, GRAD_PHASE_EVALUATE, 1, 2));
  grad_step_unref (step);
}

static void
test_optimizer (void)
{
  g_autoptr (GradNetwork) network = grad_network_new ("resnet");
  g_autoptr (GError) error = NULL;
  gint a, b;

  g_assert_false (grad_network_has_optimizer (network));
  g_assert_null (enter (network, GRAD_PHASE_TRAIN, 1, 1));
  g_assert_true (grad_network_register_optimizer (network, &a, NULL));
  g_assert_true (grad_network_register_optimizer (network, &a, NULL));
  g_assert_false (grad_network_register_optimizer (network, &b, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, "\"resnet\" has an optimizer already"));
  grad_network_unregister_optimizer (network, &b);
  g_assert_true (grad_network_has_optimizer (network));
  grad_network_unregister_optimizer (network, &a);
  g_assert_true (grad_network_register_optimizer (network, &b, NULL));
}

static void
test_prefixes (void)
{
  static const gchar *const kinds[] = { "layer", "layer", "fc", "fc", "", "", "layer" };
  static const gchar *const names[] = { "layer1", "layer2", "fc", "fc2", "", "stem2", "layer3" };
  g_autoptr (GradNetwork) network = grad_network_new ("test");

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++) {
    g_autofree gchar *name = grad_network_next_prefix (network, kinds[i]);

    g_assert_cmpstr (name, ==, names[i]);
  }
}

/* Layers in threads of their own with queues between them; some batches get lost on the way. */
#define N_LAYERS 4
#define N_BATCHES 500

typedef struct
{
  GradNetwork *network;
  GradUnit *leaf;
  GradTensor *tensor;
  guint index;
  GAsyncQueue *in, *out;        /* of GradValue; in is NULL for the first layer */
  guint applied;
} Layer;

static gpointer
run_layer (gpointer data)
{
  Layer *layer = data;
  gboolean never = FALSE;

  for (guint64 i = 1; i <= N_BATCHES; i++) {
    GradValue in = { grad_tensor_ref (layer->tensor), NULL }, *out = g_new0 (GradValue, 1);
    GradStep *step = NULL;

    if (layer->in) {
      GradValue *arrived = g_async_queue_pop (layer->in);

      g_clear_pointer (&in.tensor, grad_tensor_unref);
      in = *arrived;
      g_free (arrived);
    }
    if (in.tensor == NULL || (i * 31 + layer->index) % 23 == 0)
      grad_value_clear (&in);   /* lost */
    else {
      g_assert_true (grad_network_enter (layer->network, GRAD_PHASE_TRAIN, 1, i, &never, &step));
      g_assert_true (step && step->sequence == i);
      g_assert_true (in.node == NULL || in.node->step == step);
      *out = apply_leaf (layer->network, layer->leaf, step, &in);
      grad_step_unref (step);
      grad_value_clear (&in);
    }
    if (layer->out) {
      g_async_queue_push (layer->out, out);
      continue;
    }
    if (out->node != NULL) {
      apply (layer->network, out->node, layer->tensor);
      layer->applied++;
    }
    grad_value_clear (out);
    g_free (out);
  }
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (GradNetwork) network = new_network ();
  g_autoptr (GradDevice) device = test_device ("ref");
  g_autoptr (GradTensor) tensor = test_random (device, GRAD_SHAPE (1), 1, 0, 1);
  GAsyncQueue *queues[N_LAYERS];
  GThread *threads[N_LAYERS];
  Layer layers[N_LAYERS];
  guint expected = 0;

  for (guint i = 0; i < N_LAYERS; i++)
    queues[i] = g_async_queue_new ();
  for (guint i = 0; i < N_LAYERS; i++) {
    layers[i] = (Layer) { network, new_leaf (network, tensor), tensor, i,
      i > 0 ? queues[i - 1] : NULL, i + 1 < N_LAYERS ? queues[i] : NULL, 0};
    threads[i] = g_thread_new ("layer", run_layer, &layers[i]);
  }
  for (guint i = 0; i < N_LAYERS; i++)
    g_thread_join (threads[i]);
  for (guint64 i = 1; i <= N_BATCHES; i++) {
    gboolean lost = FALSE;

    for (guint k = 0; k < N_LAYERS; k++)
      lost |= (i * 31 + k) % 23 == 0;
    expected += !lost;
  }
  g_assert_cmpuint (layers[N_LAYERS - 1].applied, ==, expected);
  g_assert_null (network->open);
  for (guint i = 0; i < N_LAYERS; i++) {
    g_object_unref (layers[i].leaf);
    g_async_queue_unref (queues[i]);
  }
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gradnetwork/turns", test_turns);
  g_test_add_func ("/gradnetwork/abort", test_abort);
  g_test_add_func ("/gradnetwork/flush", test_flush);
  g_test_add_func ("/gradnetwork/sources", test_sources);
  g_test_add_func ("/gradnetwork/side-branch", test_side_branch);
  g_test_add_func ("/gradnetwork/optimizer", test_optimizer);
  g_test_add_func ("/gradnetwork/prefixes", test_prefixes);
  g_test_add_func ("/gradnetwork/threads", test_threads);
  return g_test_run ();
}
