/* GradStreamer: which devices there are: built in, or in a module that is loaded when it is asked for
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE             /* dladdr() */
#include "config.h"
#include "graddevice-private.h"

#include <dlfcn.h>
#include <gmodule.h>
#include <string.h>

/* GTypes of loaded modules; they stay loaded. */
static GMutex lock;
static GType cuda_type = G_TYPE_INVALID;

/* Where GRAD_BACKEND_PATH says, else as this library was built, beside it, or where it is installed */
static gchar *
find_cuda (void)
{
  static const gchar name[] = "libgradcuda." G_MODULE_SUFFIX;
  const gchar *dir = g_getenv ("GRAD_BACKEND_PATH");
  g_autofree gchar *here = NULL, *built = NULL;
  Dl_info self;

  if (dir != NULL)
    return g_build_filename (dir, name, NULL);
  if (dladdr (&lock, &self) != 0 && self.dli_fname != NULL) {
    here = g_path_get_dirname (self.dli_fname);
    built = g_build_filename (here, "device", name, NULL);
    if (g_file_test (built, G_FILE_TEST_EXISTS))
      return g_steal_pointer (&built);
  }
  return g_build_filename (BACKEND_DIR, name, NULL);
}

static GType
load_cuda (GError ** error)
{
  g_autofree gchar *path = find_cuda ();
  GType (*get_type) (void);
  GModule *module;

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE, "this GradStreamer was built without CUDA (there "
        "is no %s): use device=cpu, or build it where CUDA 12 or newer and cuDNN 9 or newer are", path);
    return G_TYPE_INVALID;
  }
  module = g_module_open (path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (module == NULL
      || !g_module_symbol (module, "grad_backend_get_type", (gpointer *) & get_type)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE, "cannot load %s: %s: install CUDA's and cuDNN's "
        "libraries, or use device=cpu", path, g_module_error ());
    g_clear_pointer (&module, g_module_close);
    return G_TYPE_INVALID;
  }
  g_module_make_resident (module);
  return get_type ();
}

/* Whether a GPU is worth looking for: loading its libraries takes time. */
static gboolean
has_driver (void)
{
  GModule *driver = g_module_open ("libcuda.so.1", G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);

  if (driver != NULL)
    g_module_close (driver);
  return driver != NULL;
}

GType
grad_backend_find (const gchar * name, GError ** error)
{
  GType type = G_TYPE_INVALID;

  if (g_str_equal (name, "cpu"))
#ifdef HAVE_ONEDNN
    return grad_cpu_device_get_type ();
#else
    return grad_ref_device_get_type ();
#endif
  if (g_str_equal (name, "ref"))
    return grad_ref_device_get_type ();
  if (g_str_equal (name, "cuda") || g_str_has_prefix (name, "cuda:")) {
    g_mutex_lock (&lock);
    if (cuda_type == G_TYPE_INVALID)
      cuda_type = load_cuda (error);
    type = cuda_type;
    g_mutex_unlock (&lock);
    return type;
  }
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE, "there is no device \"%s\" here: use "
      "device=cpu, device=cuda, or leave it at auto", name);
  return G_TYPE_INVALID;
}

/* What auto tries, in this order. */
const gchar *const *
grad_backend_candidates (void)
{
  static const gchar *const all[] = { "cuda", "cpu", NULL };

  return has_driver () ? all : all + 1;
}

const gchar *const *
grad_backend_context_types (void)
{
  static const gchar *const all[] = { "gst.cuda.context", NULL };

  return all;
}
