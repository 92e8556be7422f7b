/* GradStreamer tests: runs the blocks of a CUDA grid on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Every thread of a block runs in a fiber. One that waits at a barrier lets the next one run; one that is done leaves its
 * fiber to the next one. A thread that leaves a kernel early no longer counts at barriers, as on a GPU. A barrier that
 * not all remaining threads reach is a deadlock, and aborts. */
#include "cuda_runtime.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

#define STACK (64 << 10)

struct Barrier
{
  unsigned live, arrived, generation;
};

struct Context
{
  ucontext_t entry;
  void *jump[5];
  bool started;
};

struct Fiber
{
  Context context;
  void *stack;
  uint3 index;
  bool busy;                    /* with a thread that is not done */
  Barrier *waits;
  unsigned generation;
};

static std::mutex launching;
static std::vector < Fiber * >&fibers = *new std::vector < Fiber * >; /* there to the end: no leak */
static std::vector < Barrier > warps;
static Barrier block_barrier;
static Fiber *current;
static unsigned n_threads, n_started;   /* of the block */
static Context scheduler;
static const std::function < void () > *kernel_body;
alignas (16) static char exchanged[32][32][16];

/* Goes to another context, until somebody comes back to this one. swapcontext() is two system calls, and makes the address
 * sanitizer forget all it knows of a stack; once a fiber has started, jumps do, in a function that it does not see. */
static __attribute__ ((noinline, no_sanitize ("address"))) void
jump (Context * from, Context * to)
{
  if (__builtin_setjmp (from->jump) != 0)
    return;
  from->started = true;
  if (to->started)
    __builtin_longjmp (to->jump, 1);
  setcontext (&to->entry);
}

static void
switch_to (Context * from, Context * to, void *stack)
{
#ifdef __SANITIZE_ADDRESS__
  void *fake = NULL;
  static thread_local const void *bottom;
  static thread_local size_t size;

  if (stack != NULL)
    __sanitizer_start_switch_fiber (&fake, stack, STACK);
  else
    __sanitizer_start_switch_fiber (&fake, bottom, size);
  jump (from, to);
  __sanitizer_finish_switch_fiber (fake, stack != NULL ? NULL : &bottom, stack != NULL ? NULL : &size);
#else
  jump (from, to);
#endif
}

static void
release (Barrier * barrier)
{
  barrier->arrived = 0;
  barrier->generation++;
}

static void
wait_at (Barrier * barrier)
{
  if (++barrier->arrived == barrier->live) {
    release (barrier);
    return;
  }
  current->waits = barrier;
  current->generation = barrier->generation;
  switch_to (&current->context, &scheduler, NULL);
}

static void
leave (Barrier * barrier)
{
  if (--barrier->live > 0 && barrier->arrived == barrier->live)
    release (barrier);
}

static Barrier *
warp (void)
{
  unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);

  return &warps[t / 32];
}

void
emulated_sync_block (void)
{
  wait_at (&block_barrier);
}

void
emulated_sync_warp (void)
{
  wait_at (warp ());
}

void *
emulated_exchange (const void *value, size_t size, int lane)
{
  unsigned w = warp () - warps.data ();

  memcpy (exchanged[w][emulated_lane ()], value, size);
  emulated_sync_warp ();
  return exchanged[w][lane];
}

static void
start_thread (Fiber * fiber)
{
  unsigned t = n_started++;

  fiber->busy = true;
  fiber->waits = NULL;
  threadIdx = fiber->index = { t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y };
}

static void
fiber_main (void)
{
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber (NULL, NULL, NULL);
#endif
  while (true) {
    (*kernel_body) ();
    current->busy = false;
    leave (warp ());
    leave (&block_barrier);
    if (n_started < n_threads)
      start_thread (current);
    else
      switch_to (&current->context, &scheduler, NULL);
  }
}

static Fiber *
new_fiber (void)
{
  Fiber *fiber = new Fiber ();

  fiber->stack = mmap (NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  getcontext (&fiber->context.entry);
  fiber->context.entry.uc_stack.ss_sp = fiber->stack;
  fiber->context.entry.uc_stack.ss_size = STACK;
  makecontext (&fiber->context.entry, fiber_main, 0);
  return fiber;
}

static void
run_block (unsigned n)
{
  bool ran = true;

  n_threads = n;
  n_started = 0;
  block_barrier = { n, 0, 0 };
  warps.assign ((n + 31) / 32, Barrier ());
  for (unsigned t = 0; t < n; t++)
    warps[t / 32].live++;
  for (unsigned i = 0; n_started < n; i++) {
    start_thread (current = fibers[i]);
    switch_to (&scheduler, &current->context, current->stack);
  }
  while (ran) {
    bool waiting = false;

    ran = false;
    for (Fiber * fiber:fibers) {
      if (!fiber->busy)
        continue;
      waiting = true;
      if (fiber->waits && fiber->waits->generation == fiber->generation)
        continue;
      current = fiber;
      threadIdx = fiber->index;
      fiber->waits = NULL;
      switch_to (&scheduler, &fiber->context, fiber->stack);
      ran = true;
    }
    if (waiting && !ran) {
      fprintf (stderr, "emulated CUDA: block (%u, %u, %u) is stuck: not all threads reach a barrier\n",
          blockIdx.x, blockIdx.y, blockIdx.z);
      abort ();
    }
  }
}

static thread_local cudaError_t last_error;

/* Counts what is asked of an idle GPU, and says so in the end. */
static struct Idle
{
  bool is = getenv ("EMULATED_GPU_IDLE") != NULL;
  std::atomic < unsigned long >counts[EMULATED_N_KINDS];

  ~Idle ()
  {
    if (is)
      fprintf (stderr, "emulated GPU: %lu kernels, %lu plans of cuDNN, %lu copies, %lu graphs\n",
          counts[EMULATED_KERNEL].load (), counts[EMULATED_PLAN].load (), counts[EMULATED_COPY].load (),
          counts[EMULATED_GRAPH].load ());
  }
} idle;

extern "C" int
emulated_idle (EmulatedKind kind)
{
  idle.counts[kind]++;
  return idle.is;
}

void
emulated_run (dim3 grid, dim3 block, const std::function < void () > &body)
{
  std::lock_guard < std::mutex > guard (launching);
  unsigned n = block.x * block.y * block.z;

  if (n == 0 || n > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535
      || grid.z > 65535) {
    last_error = cudaErrorInvalidValue;
    return;
  }
  if (emulated_idle (EMULATED_KERNEL))
    return;
  while (fibers.size () < n)
    fibers.push_back (new_fiber ());
  gridDim = grid;
  blockDim = block;
  kernel_body = &body;
  for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
    for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
      for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++)
        run_block (n);
}

unsigned long
emulated_count (EmulatedKind kind)
{
  return idle.counts[kind];
}

/* ---- streams, and what they record */

/* Work of a recording, in the order in which it was asked for */
struct Step
{
  size_t branch;                /* where it was asked for, see below */
  std::function < void () > body;
  cudaEvent_t recorded, waits;  /* instead: the event is recorded there, or waited for */
};

struct EmulatedEvent
{
  struct EmulatedGraph *recording;      /* it is part of */
  size_t branch, step;          /* there */
  cudaStream_t stream;
  size_t end;                   /* of what comes before it there */
  size_t n_copies;              /* the same of copies */
  std::chrono::steady_clock::time_point time;
};

/* Streams that take part are its branches: the one whose recording began, and those that waited for what one had recorded. */
struct EmulatedGraph
{
  std::vector < Step > steps;
  std::vector < cudaStream_t > branches;
  std::vector < size_t > joined;        /* of each branch: steps of all when the first one has waited for it */
  bool spoilt;                  /* by what cannot be recorded */
};

struct EmulatedWork
{
  EmulatedGraph graph;
  std::vector < cudaStream_t > streams; /* for each branch but the first */
};

struct Work
{
  std::function < void () > body;
  cudaStream_t waits;           /* instead: for work number `end` of that stream */
  size_t end;
};

struct EmulatedStream
{
  EmulatedGraph *recording;     /* NULL: it does not */
  bool first;                   /* it is of the least priority, and nevertheless before others */
  std::deque < Work > work;     /* of a lazy one, that it has not come to; the first is number n_done */
  size_t n_done;
};

static std::recursive_mutex working;
static std::vector < cudaStream_t > lazy_streams, all_streams;

/* NULL: it does not record. Other libraries' streams may be anything. */
static EmulatedGraph *
recording_of (cudaStream_t stream)
{
  bool ours = std::find (all_streams.begin (), all_streams.end (), stream) != all_streams.end ();

  return ours ? stream->recording : NULL;
}

/* Other libraries' streams may be anything, and have done their work. */
static bool
is_lazy (cudaStream_t stream)
{
  return std::find (lazy_streams.begin (), lazy_streams.end (), stream) != lazy_streams.end ();
}

static size_t
branch_of (cudaStream_t stream)
{
  auto & branches = stream->recording->branches;

  return std::find (branches.begin (), branches.end (), stream) - branches.begin ();
}

void
emulated_enqueue (cudaStream_t stream, std::function < void () > body)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  if (recording_of (stream) != NULL)
    stream->recording->steps.push_back ({ branch_of (stream), body, NULL, NULL });
  else if (is_lazy (stream))
    stream->work.push_back ({ body, NULL, 0 });
  else
    body ();
}

static size_t
end_of (cudaStream_t stream)
{
  return stream->n_done + stream->work.size ();
}

static void
work_until (cudaStream_t stream, size_t end)
{
  while (stream->n_done < end) {
    Work work = stream->work.front ();

    stream->work.pop_front ();
    stream->n_done++;
    if (work.waits != NULL)
      work_until (work.waits, work.end);
    else
      work.body ();
  }
}

/* Somebody waits. */
static void
catch_up (cudaStream_t stream, size_t end)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  for (auto other:lazy_streams)
    if (other->first)
      work_until (other, end_of (other));
  work_until (stream, end);
}

static void
catch_up_all (void)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  for (auto stream:lazy_streams)
    catch_up (stream, end_of (stream));
}

void
emulated_enqueue_call (cudaStream_t stream, void (*func) (void *data), const void *data, size_t size)
{
  std::vector < char >copy ((const char *) data, (const char *) data + size);

  emulated_enqueue (stream, [=] { func ((void *) copy.data ()); });
}

/* What a recording stream is not to be asked for */
static bool
spoils (cudaStream_t stream)
{
  if (recording_of (stream) == NULL)
    return false;
  stream->recording->spoilt = true;
  last_error = cudaErrorStreamCaptureUnsupported;
  return true;
}

/* ---- the runtime */

static std::mutex memory_lock;
static size_t used;

static int
n_multiprocessors (void)
{
  const char *number = getenv ("EMULATED_GPU_MULTIPROCESSORS");

  return number ? atoi (number) : 4;
}

static size_t
total_memory (void)
{
  const char *limit = getenv ("EMULATED_GPU_MEMORY");

  return limit ? strtoull (limit, NULL, 10) : (size_t) 8 << 30;
}

/* the size lies in front of what is given out */
#define HEADER 256

/* Copies to the host that a slow GPU has not come to; the first is number n_copied. */
struct Copy
{
  void *to;
  std::vector < char >data;
};

static std::mutex copying;
static std::deque < Copy > copies;
static size_t n_copied;
static bool slow;
static unsigned n_waits;

static void
copy_until (size_t end)
{
  while (n_copied < end) {
    memcpy (copies.front ().to, copies.front ().data.data (), copies.front ().data.size ());
    copies.pop_front ();
    n_copied++;
  }
}

static cudaError_t
wait_until (size_t end)
{
  if (n_copied < end)
    n_waits++;
  copy_until (end);
  return cudaSuccess;
}

extern "C" {

cudaError_t
cudaMalloc (void **data, size_t size)
{
  std::lock_guard < std::mutex > guard (memory_lock);
  char *p;

  if (used + size > total_memory () || posix_memalign ((void **) &p, HEADER, HEADER + size) != 0)
    return last_error = cudaErrorMemoryAllocation;
  used += size;
  *(size_t *) p = size;
  memset (p + HEADER, idle.is ? 0 : 0xff, size);
  *data = p + HEADER;
  return cudaSuccess;
}

cudaError_t
cudaFree (void *data)
{
  catch_up_all ();

  std::lock_guard < std::mutex > guard (memory_lock);

  if (data != NULL) {
    used -= *(size_t *) ((char *) data - HEADER);
    free ((char *) data - HEADER);
  }
  return cudaSuccess;
}

cudaError_t
cudaGetDeviceCount (int *count)
{
  const char *fail = getenv ("EMULATED_GPU_ERROR");     /* "35": no driver, "100": no device */

  *count = 1;
  return fail ? (cudaError_t) atoi (fail) : cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp * prop, int device)
{
  memset (prop, 0, sizeof *prop);
  strcpy (prop->name, "emulated GPU");
  prop->major = 9;
  prop->multiProcessorCount = n_multiprocessors ();
  prop->totalGlobalMem = total_memory ();
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t
cudaMemGetInfo (size_t *free, size_t *total)
{
  *total = total_memory ();
  *free = *total - used;
  return cudaSuccess;
}

cudaError_t cudaSetDevice (int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
cudaError_t cudaGetDevice (int *device) { *device = 0; return cudaSuccess; }

cudaError_t
cudaMallocHost (void **data, size_t size)
{
  *data = idle.is ? calloc (size, 1) : malloc (size);   /* what an idle GPU "computes" is to be numbers */
  return *data ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t
cudaFreeHost (void *data)
{
  free (data);
  return cudaSuccess;
}

cudaError_t
cudaMemcpyAsync (void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream)
{
  emulated_enqueue (stream, [=] {
      std::lock_guard < std::mutex > guard (copying);

      if (emulated_idle (EMULATED_COPY))
        return;
      if (slow && kind == cudaMemcpyDeviceToHost)
        copies.push_back ({ to, std::vector < char >((char *) from, (char *) from + size) });
      else
        memmove (to, from, size);
    });
  return cudaSuccess;
}

unsigned
emulated_slow (int is_slow)
{
  std::lock_guard < std::mutex > guard (copying);
  unsigned waits = n_waits;

  slow = is_slow;
  n_waits = 0;
  if (!slow)
    copy_until (n_copied + copies.size ());
  return waits;
}

cudaError_t
cudaLaunchHostFunc (cudaStream_t stream, void (*func) (void *), void *data)
{
  emulated_enqueue (stream, [=] { func (data); });
  return cudaSuccess;
}

cudaError_t
cudaMemsetAsync (void *to, int value, size_t size, cudaStream_t stream)
{
  emulated_enqueue (stream, [=] {
      if (!emulated_idle (EMULATED_COPY))
        memset (to, value, size);
    });
  return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t * stream, unsigned flags)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  *stream = new EmulatedStream ();
  all_streams.push_back (*stream);
  return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithPriority (cudaStream_t * stream, unsigned flags, int priority)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  bool lazy = getenv ("EMULATED_GPU_LAZY") != NULL;

  cudaStreamCreateWithFlags (stream, flags);
  (*stream)->first = lazy && priority == 0;
  if (lazy || priority == 0)
    lazy_streams.push_back (*stream);
  return cudaSuccess;
}

cudaError_t
cudaDeviceGetStreamPriorityRange (int *least, int *greatest)
{
  if (least != NULL)
    *least = 0;
  if (greatest != NULL)
    *greatest = -5;
  return cudaSuccess;
}

cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  catch_up (stream, end_of (stream));
  std::erase (lazy_streams, stream);
  std::erase (all_streams, stream);
  delete stream->recording;
  delete stream;
  return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  std::lock_guard < std::recursive_mutex > streams (working);

  catch_up (stream, end_of (stream));

  std::lock_guard < std::mutex > guard (copying);

  if (spoils (stream))
    return cudaErrorStreamCaptureUnsupported;
  return wait_until (n_copied + copies.size ());
}

cudaError_t
cudaStreamBeginCapture (cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
  if (spoils (stream))
    return cudaErrorStreamCaptureUnsupported;
  stream->recording = new EmulatedGraph { { }, { stream }, { 0 }, false };
  return cudaSuccess;
}

/* Whether all that was asked for is waited for by the first stream. */
static bool
is_joined (const EmulatedGraph * graph)
{
  for (size_t i = 0; i < graph->steps.size (); i++)
    if (graph->steps[i].branch != 0 && !graph->steps[i].recorded && graph->joined[graph->steps[i].branch] <= i)
      return false;
  return true;
}

cudaError_t
cudaStreamEndCapture (cudaStream_t stream, cudaGraph_t * graph)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  *graph = stream->recording;
  if (*graph == NULL)
    return cudaErrorInvalidValue;
  for (auto branch:(*graph)->branches)
    branch->recording = NULL;
  if (!(*graph)->spoilt && is_joined (*graph))
    return cudaSuccess;
  last_error = (*graph)->spoilt ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined;
  delete *graph;
  *graph = NULL;
  return last_error;
}

cudaError_t
cudaGraphInstantiateWithFlags (cudaGraphExec_t * work, cudaGraph_t graph, unsigned long long flags)
{
  if (getenv ("EMULATED_GPU_NO_GRAPHS"))
    return last_error = cudaErrorMemoryAllocation;
  *work = new EmulatedWork { *graph, { NULL } };
  for (size_t i = 1; i < graph->branches.size (); i++) {
    cudaStream_t stream;

    cudaStreamCreateWithPriority (&stream, 0, 0);
    (*work)->streams.push_back (stream);
  }
  return cudaSuccess;
}

cudaError_t
cudaGraphLaunch (cudaGraphExec_t work, cudaStream_t stream)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  if (spoils (stream))
    return cudaErrorStreamCaptureUnsupported;
  if (emulated_idle (EMULATED_GRAPH))
    return cudaSuccess;

  std::map < cudaEvent_t, EmulatedEvent > events;

  work->streams[0] = stream;
  for (auto & step:work->graph.steps) {
    cudaStream_t on = work->streams[step.branch];

    if (step.recorded != NULL)
      cudaEventRecord (&events[step.recorded], on);
    else if (step.waits != NULL)
      cudaStreamWaitEvent (on, &events[step.waits], 0);
    else
      emulated_enqueue (on, step.body);
  }
  return cudaSuccess;
}

cudaError_t
cudaGraphDestroy (cudaGraph_t graph)
{
  delete graph;
  return cudaSuccess;
}

cudaError_t
cudaGraphExecDestroy (cudaGraphExec_t work)
{
  catch_up_all ();
  for (size_t i = 1; i < work->streams.size (); i++)
    cudaStreamDestroy (work->streams[i]);
  delete work;
  return cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t * event, unsigned flags)
{
  *event = new EmulatedEvent ();
  return cudaSuccess;
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  delete event;
  return cudaSuccess;
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  std::lock_guard < std::recursive_mutex > streams (working);
  std::lock_guard < std::mutex > guard (copying);

  event->recording = recording_of (stream);
  if (event->recording != NULL) {
    event->branch = branch_of (stream);
    event->step = stream->recording->steps.size ();
    stream->recording->steps.push_back ({ event->branch, { }, event, NULL });
    return cudaSuccess;
  }
  event->stream = is_lazy (stream) ? stream : NULL;
  event->end = event->stream ? end_of (stream) : 0;
  event->n_copies = n_copied + copies.size ();
  event->time = std::chrono::steady_clock::now ();
  return cudaSuccess;
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
  std::lock_guard < std::recursive_mutex > guard (working);

  if (event->recording != NULL) {
    EmulatedGraph *graph = event->recording;

    if (stream->recording == NULL) {
      stream->recording = graph;
      graph->branches.push_back (stream);
      graph->joined.push_back (0);
    }
    graph->steps.push_back ({ branch_of (stream), { }, NULL, event });
    if (branch_of (stream) == 0)
      graph->joined[event->branch] = event->step;
    return cudaSuccess;
  }
  if (event->stream == NULL || event->stream == stream)
    return cudaSuccess;
  if (is_lazy (stream))
    stream->work.push_back ({ { }, event->stream, event->end });
  else
    catch_up (event->stream, event->end);
  return cudaSuccess;
}

cudaError_t
cudaEventQuery (cudaEvent_t event)
{
  std::lock_guard < std::recursive_mutex > streams (working);

  if (event->stream != NULL)
    catch_up (event->stream, event->end);

  std::lock_guard < std::mutex > guard (copying);

  if (n_copied < event->n_copies)
    return last_error = cudaErrorNotReady;
  return cudaSuccess;
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  std::lock_guard < std::recursive_mutex > streams (working);

  if (event->stream != NULL)
    catch_up (event->stream, event->end);

  std::lock_guard < std::mutex > guard (copying);

  return wait_until (event->n_copies);
}

cudaError_t
cudaEventElapsedTime (float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
  *milliseconds = std::chrono::duration < float, std::milli > (to->time - from->time).count ();
  return cudaSuccess;
}

cudaError_t
cudaGetLastError (void)
{
  cudaError_t error = last_error;

  last_error = cudaSuccess;
  return error;
}

const char *
cudaGetErrorString (cudaError_t error)
{
  return error == cudaErrorMemoryAllocation ? "out of memory"
      : error == cudaErrorInsufficientDriver ? "CUDA driver version is insufficient for CUDA runtime version"
      : error == cudaErrorNoDevice ? "no CUDA-capable device is detected" : "emulated error";
}

}
