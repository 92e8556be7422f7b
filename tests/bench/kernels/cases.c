/* GradStreamer benchmark of kernels: the cases
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cases.h"

static const gchar *const names[BENCH_N_KINDS] = {
  [BENCH_CONV_FORWARD] = "conv-forward",
  [BENCH_CONV_BACKWARD_DATA] = "conv-backward-data",
  [BENCH_CONV_BACKWARD_WEIGHTS] = "conv-backward-weights",
  [BENCH_CONV_INFER] = "conv-infer",
  [BENCH_NORM_FORWARD] = "norm-forward",
  [BENCH_NORM_BACKWARD] = "norm-backward",
  [BENCH_NORM_POOL_FORWARD] = "norm-pool-forward",
  [BENCH_NORM_POOL_BACKWARD] = "norm-pool-backward",
  [BENCH_MAX_POOL_FORWARD] = "max-pool-forward",
  [BENCH_MAX_POOL_BACKWARD] = "max-pool-backward",
  [BENCH_GLOBAL_POOL_FORWARD] = "global-pool-forward",
  [BENCH_GLOBAL_POOL_BACKWARD] = "global-pool-backward",
  [BENCH_ADD] = "add",
  [BENCH_RELU] = "relu",
  [BENCH_RELU_BACKWARD] = "relu-backward",
  [BENCH_ZERO] = "zero",
  [BENCH_LINEAR_FORWARD] = "linear-forward",
  [BENCH_LINEAR_BACKWARD_DATA] = "linear-backward-data",
  [BENCH_LINEAR_BACKWARD_WEIGHTS] = "linear-backward-weights",
  [BENCH_LOSS] = "loss",
  [BENCH_ADAM] = "adam",
  [BENCH_RESIZE] = "resize",
};

/* A convolution in training, and how often it is followed by what in inference */
typedef struct
{
  gint n, c, h, w, k, kernel, stride, padding;  /* n = 0: the batch */
  gint forward, backward_data;
  gint alone, relu, add_relu;
} Conv;

static const Conv convs[] = {
  {0, 1, 96, 96, 64, 7, 2, 3, 1, 0, 0, 1, 0},
  {0, 64, 24, 24, 64, 3, 1, 1, 4, 4, 0, 2, 2},
  {0, 64, 24, 24, 128, 3, 2, 1, 1, 1, 0, 1, 0},
  {0, 64, 24, 24, 128, 1, 2, 0, 1, 1, 1, 0, 0},
  {0, 128, 12, 12, 128, 3, 1, 1, 3, 3, 0, 1, 2},
  {0, 128, 12, 12, 256, 3, 2, 1, 1, 1, 0, 1, 0},
  {0, 128, 12, 12, 256, 1, 2, 0, 1, 1, 1, 0, 0},
  {0, 256, 6, 6, 256, 3, 1, 1, 3, 3, 0, 1, 2},
  {0, 256, 6, 6, 512, 3, 2, 1, 1, 1, 0, 1, 0},
  {0, 256, 6, 6, 512, 1, 2, 0, 1, 1, 1, 0, 0},
  {0, 512, 3, 3, 512, 3, 1, 1, 3, 3, 0, 1, 2},
  /* odd shapes */
  {5, 3, 61, 47, 24, 7, 2, 3},
  {7, 24, 13, 11, 40, 3, 1, 1},
  {3, 40, 19, 23, 24, 3, 2, 1},
  {2, 10, 33, 29, 6, 1, 2, 0},
  {1, 16, 1, 200, 16, 5, 1, 2},
};

/* A norm with ReLU, and how often it is called with and without a residual */
static const struct
{
  gint n, c, h, w, alone, add;
} norms[] = {
  {0, 64, 24, 24, 2, 2},
  {0, 128, 12, 12, 2, 2},
  {0, 256, 6, 6, 2, 2},
  {0, 512, 3, 3, 2, 2},
  {3, 7, 13, 11, 0, 0},
  {1, 40, 1, 5, 0, 0},
};

static const BenchCase others[] = {
  /* behind the stem: in one, and what they were apart; inference pools alone */
  {BENCH_NORM_POOL_FORWARD, 0, 64, 48, 48,.kernel = 3,.stride = 2,.padding = 1,.times = 1},
  {BENCH_NORM_POOL_BACKWARD, 0, 64, 48, 48,.kernel = 3,.stride = 2,.padding = 1,.times = 1},
  {BENCH_NORM_POOL_FORWARD, 3, 7, 13, 11,.kernel = 5,.stride = 3,.padding = 2},
  {BENCH_NORM_POOL_BACKWARD, 3, 7, 13, 11,.kernel = 5,.stride = 3,.padding = 2},
  {BENCH_NORM_FORWARD, 0, 64, 48, 48,.relu = TRUE},
  {BENCH_NORM_BACKWARD, 0, 64, 48, 48,.relu = TRUE},
  {BENCH_MAX_POOL_FORWARD, 0, 64, 48, 48,.kernel = 3,.stride = 2,.padding = 1,.times = 1},
  {BENCH_MAX_POOL_BACKWARD, 0, 64, 48, 48,.kernel = 3,.stride = 2,.padding = 1},
  {BENCH_MAX_POOL_FORWARD, 3, 24, 13, 11,.kernel = 2,.stride = 3},
  {BENCH_MAX_POOL_BACKWARD, 3, 24, 13, 11,.kernel = 2,.stride = 3},
  {BENCH_GLOBAL_POOL_FORWARD, 0, 512, 3, 3,.times = 1},
  {BENCH_GLOBAL_POOL_BACKWARD, 0, 512, 3, 3,.times = 1},
  {BENCH_GLOBAL_POOL_FORWARD, 5, 7, 11, 13},
  {BENCH_GLOBAL_POOL_BACKWARD, 5, 7, 11, 13},
  /* gradients of a block's input: the shortcut's and the block's */
  {BENCH_ADD, 0, 64, 24, 24,.times = 3},
  {BENCH_ADD, 0, 128, 12, 12,.times = 2},
  {BENCH_ADD, 0, 256, 6, 6,.times = 2},
  {BENCH_ADD, 0, 512, 3, 3,.times = 1},
  {BENCH_ADD, 3, 7, 13, 11},
  {BENCH_RELU, 0, 64, 24, 24},
  {BENCH_RELU, 3, 7, 13, 11},
  {BENCH_RELU_BACKWARD, 0, 64, 24, 24},
  {BENCH_RELU_BACKWARD, 3, 7, 13, 11},
  {BENCH_ZERO, 0, 64, 24, 24},
  {BENCH_LINEAR_FORWARD, 0, 512,.k = 10,.bias = TRUE,.times = 1},
  {BENCH_LINEAR_BACKWARD_DATA, 0, 512,.k = 10,.bias = TRUE,.times = 1},
  {BENCH_LINEAR_BACKWARD_WEIGHTS, 0, 512,.k = 10,.bias = TRUE,.times = 1},
  {BENCH_LINEAR_FORWARD, 7, 131,.k = 33},
  {BENCH_LINEAR_BACKWARD_DATA, 7, 131,.k = 33},
  {BENCH_LINEAR_BACKWARD_WEIGHTS, 7, 131,.k = 33},
  {BENCH_LOSS, 0,.k = 10,.times = 1},
  {BENCH_LOSS, 7,.k = 1000},
  {BENCH_ADAM, 62, 180000,.times = 1},  /* about as many tensors and values as the network trains */
  {BENCH_ADAM, 3, 1001},
  {BENCH_RESIZE, 0, 1, 28, 28,.k = 96,.times = 1},
  {BENCH_RESIZE, 2, 3, 61, 47,.k = 24},
};

static void
add_conv (GArray * cases, const Conv * v, gint batch)
{
  BenchCase c = {.n = v->n ? v->n : batch,.c = v->c,.h = v->h,.w = v->w,.k = v->k,
    .kernel = v->kernel,.stride = v->stride,.padding = v->padding,.bias = v->kernel == 1
  };
  const gint training[] = { v->forward, v->backward_data, v->forward };
  const gint inference[] = { v->alone, v->relu, v->add_relu };

  for (guint i = 0; i < G_N_ELEMENTS (training); i++) {
    c.kind = BENCH_CONV_FORWARD + i;
    c.times = training[i];
    g_array_append_val (cases, c);
  }
  c.kind = BENCH_CONV_INFER;
  c.bias = TRUE;                /* where a norm was */
  for (guint i = 0; i < G_N_ELEMENTS (inference); i++) {
    c.relu = i > 0;
    c.add = i > 1;
    c.times = inference[i];
    if (c.times > 0 || (v->forward == 0 && c.add))
      g_array_append_val (cases, c);
  }
}

GArray *
bench_cases_new (gint batch)
{
  GArray *cases = g_array_new (FALSE, FALSE, sizeof (BenchCase));

  for (guint i = 0; i < G_N_ELEMENTS (convs); i++)
    add_conv (cases, &convs[i], batch);
  for (guint i = 0; i < 4 * G_N_ELEMENTS (norms); i++) {
    guint k = i / 4;
    BenchCase c = {.kind = i & 2 ? BENCH_NORM_BACKWARD : BENCH_NORM_FORWARD,
      .n = norms[k].n ? norms[k].n : batch,.c = norms[k].c,.h = norms[k].h,.w = norms[k].w,
      .relu = TRUE,.add = i & 1,.times = i & 1 ? norms[k].add : norms[k].alone
    };

    if (c.times > 0 || norms[k].n > 0)
      g_array_append_val (cases, c);
  }
  for (guint i = 0; i < G_N_ELEMENTS (others); i++) {
    BenchCase c = others[i];

    c.n = c.n ? c.n : batch;
    g_array_append_val (cases, c);
  }
  return cases;
}

const gchar *
bench_kind_name (BenchKind kind)
{
  return names[kind];
}

gchar *
bench_case_name (const BenchCase * c)
{
  GString *name = g_string_new (names[c->kind]);
  const gint dims[] = { c->n, c->c, c->h, c->w };

  for (guint i = 0; i < G_N_ELEMENTS (dims) && dims[i] > 0; i++)
    g_string_append_printf (name, "%c%d", i ? 'x' : ' ', dims[i]);
  if (c->k > 0)
    g_string_append_printf (name, " %d", c->k);
  if (c->kernel > 0)
    g_string_append_printf (name, " %dx%d/%d", c->kernel, c->kernel, c->stride);
  g_string_append_printf (name, "%s%s%s", c->bias ? " bias" : "", c->add ? " add" : "",
      c->relu ? " relu" : "");
  return g_string_free (name, FALSE);
}
