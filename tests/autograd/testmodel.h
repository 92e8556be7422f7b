/* GradStreamer tests: a unit or graph between inputs and an output whose gradients can be looked at
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tests/testutil.h"

typedef struct
{
  GradDevice *device;
  GradNetwork *network;
  GradUnit *unit;               /* what is tested: a unit … */
  GradGraph *graph;             /* … or a graph */
  guint n_inputs;
  GradTensor *inputs[2];
  GradUnit *leaves[2];          /* keep the gradients of the inputs */
  gboolean unwanted[2];         /* no gradient of that input is wanted */
  GradTensor *output;           /* plain; with a loss unit: the mean loss alone */
  GradTensor *d_output;         /* gradient that backward starts with */
  guint64 sequence;
} TestModel;

/* Takes over the device and the unit or the graph, of which one is NULL. Inputs, parameters and
 * d_output are random and the same on every device for the same seed. A loss unit gets labels. */
void test_model_init (TestModel * model, GradDevice * device, GradUnit * unit, GradGraph * graph,
    guint n_inputs, const GradShape * shapes, guint64 seed);
void test_model_clear (TestModel * model);

/* The output as in training; leaves no trace. A TestForward. */
void test_model_forward (gpointer model);
/* The output by running statistics. */
void test_model_evaluate (TestModel * model);
/* Forward alone: the root of the tape, ready for grad_network_backward(). */
GradNode *test_model_record (TestModel * model);
/* Forward and backward, to be followed by commit. shared: someone else holds the gradient
 * that backward starts with, so that it must not be overwritten. */
void test_model_backward (TestModel * model, gboolean shared, gboolean accumulate);
void test_model_commit (TestModel * model);
GradTensor *test_model_input_gradient (TestModel * model, guint i);

/* All trainable parameters that are not dead: (transfer container) of GradParameter. */
GPtrArray *test_live_parameters (GradNetwork * network);
/* Random values for every parameter, the same on every device; variances stay positive. */
void test_fill_parameters (GradNetwork * network, guint64 seed);
void test_copy (GradTensor * to, GradTensor * from);
GradTensor *test_duplicate (GradTensor * tensor);
void test_assert_same (GradTensor * a, GradTensor * b);

/* A unit that passes its input on and keeps the gradient that comes back. */
GradUnit *test_leaf_new (void);
GradTensor *test_leaf_get_gradient (GradUnit * leaf);
