/* GradStreamer tests: the book's network, narrow, with made weights, trained on made pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tests/testutil.h"
#include "lib/autograd/gradnetwork-private.h"

#define N_PROJECTIONS 4
#define MAX_VALUES 20000        /* in one parameter */

typedef struct
{
  GradDevice *device;
  GradNetwork *network;
  GradGraph *graph;
  GradUnit *loss;
  gint size;                    /* rows and columns of a picture */
  guint64 sequence;
  GradTensor *projections[N_PROJECTIONS];       /* (MAX_VALUES) */
} Model;

/* The book's network with random weights, ready for a batch. */
void model_prepare (Model * m, const gchar * device, const gint channels[4], GradShape input);
/* The same with what data/make-network-goldens.py starts with. */
void model_init (Model * m, const gchar * device, const gint channels[4], gint size);
void model_clear (Model * m);
GPtrArray *model_list_trainable (Model * m);

/* Mean loss of a batch; with a root, in training, whose tape is the caller's. */
gdouble model_compute (Model * m, GradTensor * x, const gint * labels, GradNode ** root);
/* The rest of that step, with Adam. */
void model_update (Model * m, GradNode * root, gdouble learning_rate);
/* The same with made pictures */
gdouble model_forward (Model * m, guint number, GradNode ** root);
/* One step of Adam: mean loss before the update. */
gdouble model_train (Model * m, guint number, gdouble learning_rate);
