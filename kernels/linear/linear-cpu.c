/* GradStreamer kernels: fully connected layer on the cpu device, by loops of our own, large ones by oneDNN
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, C), w, dw: (K, C), b, db: (K), y, dy: (N, K), all plain
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Matrix products in tiles, whose sums stay in registers; what does not stay in caches is left to oneDNN. Deterministic,
 * whatever the number of threads, but for large layers. */
#include "kernels/cpu.h"
#include "kernels/kernels.h"

#define LANES 16
#define ROWS 6                  /* of sums of LANES columns: as many as fit in AVX2's registers */
#define PIECE 48                /* rows and columns of a job */
#define FEW 8                   /* rows of x: no need to read weights twice */
#define LARGE (1 << 22)         /* products */
#define MIN_SHARED (1 << 17)    /* products that are worth another thread's while */

typedef gfloat Vector __attribute__ ((vector_size (4 * LANES), aligned (4), may_alias));
typedef gfloat Quarter __attribute__ ((vector_size (LANES)));

typedef struct
{
  GradPlan base;
  GradLinearDesc desc;
  GradPlan *large;              /* oneDNN's; NULL: our own loops */
} Plan;

static void
linear_free (GradPlan * base)
{
  grad_plan_free (((Plan *) base)->large);
  g_free (base);
}

static GradPlan *
linear_plan (GradDevice * device, const GradLinearDesc * d, GError ** error)
{
  Plan *plan;

  if (!grad_linear_desc_check (d, error))
    return NULL;
  plan = g_new (Plan, 1);
  *plan = (Plan) {.base = {.device = device,.free = linear_free},.desc = *d};
  if (d->n > FEW && (gint64) d->n * d->c * d->k > LARGE
      && !(plan->large = grad_linear_onednn_ops.plan (device, d, error)))
    g_clear_pointer (&plan, g_free);
  return (GradPlan *) plan;
}

/* c (M, N) = or += a (M, K) b (K, N) [+ bias (N)], all rows of c and of b without gaps, but for a and for a transposed b steps */
typedef struct
{
  const gfloat *a, *b, *bias;
  gfloat *c;
  gsize m, n, k, a_row, a_k;
  gboolean accumulate;
} Product;

GRAD_INLINE gfloat
total_of (Vector sum)
{
  union
  {
    Vector all;
    Quarter parts[4];
  } s = { sum };
  Quarter total = s.parts[0] + s.parts[1] + (s.parts[2] + s.parts[3]);

  return total[0] + total[1] + (total[2] + total[3]);
}

/* a piece of c: sums over products of rows of a and rows of b^T, which is (N, K) */
GRAD_INLINE void
dot_rows (gint rows, gint columns, const Product * p, gsize i, gsize j)
{
  const gfloat *a = p->a + i * p->k, *b = p->b + j * p->k;
  Vector sum[3][2] = { 0 };
  gsize k = 0;

  for (; k + LANES <= p->k; k += LANES)
#pragma GCC unroll 3
    for (gint r = 0; r < rows; r++)
#pragma GCC unroll 2
      for (gint s = 0; s < columns; s++)
        sum[r][s] += *(const Vector *) (a + r * p->k + k) * *(const Vector *) (b + s * p->k + k);
  for (gint r = 0; r < rows; r++)
    for (gint s = 0; s < columns; s++) {
      gfloat total = p->bias ? p->bias[j + s] : 0;

      total += total_of (sum[r][s]);
      for (gsize rest = k; rest < p->k; rest++)
        total += a[r * p->k + rest] * b[s * p->k + rest];
      p->c[(i + r) * p->n + j + s] = total;
    }
}

GRAD_INLINE void
piece_of (const Product * p, gsize piece, gsize * i, gsize * i_end, gsize * j, gsize * j_end)
{
  gsize n = (p->n + PIECE - 1) / PIECE;

  *i = piece / n * PIECE;
  *j = piece % n * PIECE;
  *i_end = MIN (*i + PIECE, p->m);
  *j_end = MIN (*j + PIECE, p->n);
}

GRAD_CLONES static void
dot_piece (gsize piece, gpointer data)
{
  const Product *p = data;
  gsize i, i_end, first, j_end;

  for (piece_of (p, piece, &i, &i_end, &first, &j_end); i < i_end;) {
    gsize j = first, rows = i + 3 <= i_end ? 3 : 1;

    for (; j + 2 <= j_end; j += 2)
      if (rows == 3)
        dot_rows (3, 2, p, i, j);
      else
        dot_rows (1, 2, p, i, j);
    for (; j < j_end; j++)
      for (gsize r = 0; r < rows; r++)
        dot_rows (1, 1, p, i + r, j);
    i += rows;
  }
}

GRAD_INLINE void
axpy_rows (gint rows, const Product * p, gsize i, gsize j)
{
  const gfloat *a = p->a + i * p->a_row, *b = p->b + j;
  Vector sum[ROWS] = { 0 };

  for (gsize k = 0; k < p->k; k++)
#pragma GCC unroll 6
    for (gint r = 0; r < rows; r++)
      sum[r] += a[r * p->a_row + k * p->a_k] * *(const Vector *) (b + k * p->n);
#pragma GCC unroll 6
  for (gint r = 0; r < rows; r++) {
    Vector *c = (Vector *) (p->c + (i + r) * p->n + j);

    if (p->accumulate)
      sum[r] += *c;
    *c = sum[r];
  }
}

GRAD_CLONES static void
axpy_piece (gsize piece, gpointer data)
{
  const Product *p = data;
  gsize first, i_end, j, j_end;

  for (piece_of (p, piece, &first, &i_end, &j, &j_end); j + LANES <= j_end; j += LANES) {
    gsize i = first;

    for (; i + ROWS <= i_end; i += ROWS)
      axpy_rows (ROWS, p, i, j);
    for (; i + 2 <= i_end; i += 2)
      axpy_rows (2, p, i, j);
    for (; i < i_end; i++)
      axpy_rows (1, p, i, j);
  }
  for (; j < j_end; j++)
    for (gsize i = first; i < i_end; i++) {
      gfloat *c = p->c + i * p->n + j, sum = 0;

      for (gsize k = 0; k < p->k; k++)
        sum += p->a[i * p->a_row + k * p->a_k] * p->b[k * p->n + j];
      *c = p->accumulate ? *c + sum : sum;
    }
}

static void
multiply (Product p, GradParallelFunc piece)
{
  gsize n_pieces = (p.m + PIECE - 1) / PIECE * ((p.n + PIECE - 1) / PIECE);

  if (p.m * p.n * p.k >= MIN_SHARED)
    grad_parallel_for (n_pieces, piece, &p);
  else
    for (gsize i = 0; i < n_pieces; i++)
      piece (i, &p);
}

static gboolean
linear_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    GradTensor * y, GError ** error)
{
  Plan *plan = (Plan *) base;
  const GradLinearDesc *d = &plan->desc;

  if (plan->large != NULL)
    return grad_linear_onednn_ops.forward (plan->large, x, w, b, y, error);
  multiply ((Product) {.a = grad_tensor_data (x),.b = grad_tensor_data (w),
      .bias = b ? grad_tensor_data (b) : NULL,.c = grad_tensor_data (y),
      .m = d->n,.n = d->k,.k = d->c}, dot_piece);
  return TRUE;
}

static gboolean
linear_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w,
    GradTensor * dx, GError ** error)
{
  Plan *plan = (Plan *) base;
  const GradLinearDesc *d = &plan->desc;

  if (plan->large != NULL)
    return grad_linear_onednn_ops.backward_data (plan->large, dy, w, dx, error);
  multiply ((Product) {.a = grad_tensor_data (dy),.b = grad_tensor_data (w),
      .c = grad_tensor_data (dx),.m = d->n,.n = d->c,.k = d->k,.a_row = d->k,.a_k = 1}, axpy_piece);
  return TRUE;
}

static gboolean
linear_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  static const gfloat one = 1;
  Plan *plan = (Plan *) base;
  const GradLinearDesc *d = &plan->desc;
  const gfloat *gradient = grad_tensor_data (dy);

  if (plan->large != NULL)
    return grad_linear_onednn_ops.backward_weights (plan->large, x, dy, dw, db, accumulate, error);
  multiply ((Product) {.a = gradient,.b = grad_tensor_data (x),.c = grad_tensor_data (dw),
      .m = d->k,.n = d->c,.k = d->n,.a_row = 1,.a_k = d->k,.accumulate = accumulate}, axpy_piece);
  if (db != NULL)
    multiply ((Product) {.a = &one,.b = gradient,.c = grad_tensor_data (db),
        .m = 1,.n = d->k,.k = d->n,.accumulate = accumulate}, axpy_piece);
  return TRUE;
}

const GradLinearOps grad_linear_cpu_ops = {
  .supports = grad_linear_plan_supports,
  .plan = linear_plan,
  .forward = linear_forward,
  .backward_data = linear_backward_data,
  .backward_weights = linear_backward_weights,
};
