/* GradStreamer tests: .launch files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipelines/gradlaunchfile.h"

#include <glib/gstdio.h>

#define ARGS(...) (const gchar *[]) { __VA_ARGS__, NULL }

static const struct
{
  const gchar *what, *text;
  const gchar *arguments[3];
  const gchar *expected;
} good[] = {
  {"plain", "a ! b", {NULL}, "a ! b"},
  {"white space", "\n a\t!\n\n   b  \n", {NULL}, "a ! b"},
  {"comments", "# one\na # it's two\n! b x=1#2 #${no}", {NULL}, "a ! b x=1#2"},
  {"comment at the end", "a ! b # last", {NULL}, "a ! b"},
  {"quotes", "a x=\"1  # 2\" y='3 # \"4'", {NULL}, "a x=\"1  # 2\" y='3 # \"4'"},
  {"escaped quote", "a x=\"1 \\\" # 2\" # c", {NULL}, "a x=\"1 \\\" # 2\""},
  {"line break in quotes", "a x=\"1,\n2\"", {NULL}, "a x=\"1, 2\""},
  {"continued line", "a \\\n  ! b", {NULL}, "a ! b"},
  {"default", "a n=${n:-5}", {NULL}, "a n=5"},
  {"empty default", "a n=\"${n:-}\"", {NULL}, "a n=\"\""},
  {"given", "a n=${n:-5} m=${m}", {"m=x y", "n=7"}, "a n=7 m=x y"},
  {"empty value", "a n=\"${n:-5}\"", {"n="}, "a n=\"\""},
  {"last one wins", "a n=${n:-5}", {"n=6", "n=7"}, "a n=7"},
  {"dashes", "a b=${batch-size:-256} c=${a-}", {"a-=1"}, "a b=256 c=1"},
  {"default with dashes", "a l=${log:--1:-2}", {NULL}, "a l=-1:-2"},
  {"in quotes", "a l=\"${d:-/x}/y\" m='${d}'", {NULL}, "a l=\"/x/y\" m='/x'"},
  {"shared default", "a l=${d} m=${d:-/x} n=${d:-/x}", {NULL}, "a l=/x m=/x n=/x"},
  {"dollar", "a l=$$x $${y}", {NULL}, "a l=$x ${y}"},
  {"value as text", "a l=${d:-x}", {"d=${d} # $ \\"}, "a l=${d} # $ \\"},
  {"value with =", "${caps}", {"caps=video/x-raw,width=3"}, "video/x-raw,width=3"},
  {"value in quotes", "a l=\"${d:-/x}/y\"", {"d=5\" \\d"}, "a l=\"5\\\" \\\\d/y\""},
  {"nothing", "# nothing", {NULL}, ""},
};

static const struct
{
  const gchar *what, *text;
  const gchar *arguments[2];
  GradLaunchFileError code;
  const gchar *message;
} bad[] = {
  {"undefined", "a\n! b m=${model}\nx=${model}", {NULL}, GRAD_LAUNCH_FILE_ERROR_UNDEFINED,
      "t.launch, line 2: ${model} has no default: add model=… to the command"},
  {"unknown argument", "a=${x:-1} b=${y}", {"z=1"}, GRAD_LAUNCH_FILE_ERROR_ARGUMENT,
      "t.launch has no variable \"z\"; its variables are x (1), y"},
  {"no variables", "a", {"z=1"}, GRAD_LAUNCH_FILE_ERROR_ARGUMENT,
      "t.launch has no variable \"z\"; it has no variables"},
  {"in a comment only", "a # ${z}", {"z=1"}, GRAD_LAUNCH_FILE_ERROR_ARGUMENT,
      "t.launch has no variable \"z\"; it has no variables"},
  {"not name=value", "a", {"z"}, GRAD_LAUNCH_FILE_ERROR_ARGUMENT,
      "\"z\" is not of the form name=value"},
  {"prefix of a name", "${ab:-1}", {"a=1"}, GRAD_LAUNCH_FILE_ERROR_ARGUMENT,
      "t.launch has no variable \"a\"; its variables are ab (1)"},
  {"open quote", "a\nb=\"\n\n", {NULL}, GRAD_LAUNCH_FILE_ERROR_SYNTAX,
      "t.launch, line 2: the quote \" is never closed"},
  {"bare dollar", "\na=$x", {NULL}, GRAD_LAUNCH_FILE_ERROR_SYNTAX,
      "t.launch, line 2: write ${name} or ${name:-default} for a variable, $$ for a dollar sign"},
  {"dollar at the end", "a=$", {NULL}, GRAD_LAUNCH_FILE_ERROR_SYNTAX,
      "t.launch, line 1: write ${name} or ${name:-default} for a variable, $$ for a dollar sign"},
  {"no name", "a=${}", {NULL}, GRAD_LAUNCH_FILE_ERROR_SYNTAX,
      "t.launch, line 1: write ${name} or ${name:-default} for a variable, $$ for a dollar sign"},
  {"open variable", "a=${x:-1 !\nb}", {NULL}, GRAD_LAUNCH_FILE_ERROR_SYNTAX,
      "t.launch, line 1: ${x has no closing }, or something else than :-default in front of it"},
  {"other operator", "a=${x:=1}", {NULL}, GRAD_LAUNCH_FILE_ERROR_SYNTAX,
      "t.launch, line 1: ${x has no closing }, or something else than :-default in front of it"},
  {"two defaults", "a=${x:-1}\nb=${x:-2}", {NULL}, GRAD_LAUNCH_FILE_ERROR_SYNTAX,
      "t.launch, line 2: ${x} has a second default, \"2\" after \"1\"; write it once, the other "
      "uses share it"},
};

static void
test_good (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (good); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree gchar *got =
        grad_launch_file_expand (good[i].text, "t.launch", good[i].arguments, &error);

    g_test_message ("%s", good[i].what);
    g_assert_no_error (error);
    g_assert_cmpstr (got, ==, good[i].expected);
  }
}

static void
test_bad (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;

    g_test_message ("%s", bad[i].what);
    g_assert_null (grad_launch_file_expand (bad[i].text, "t.launch", bad[i].arguments, &error));
    g_assert_error (error, GRAD_LAUNCH_FILE_ERROR, (gint) bad[i].code);
    g_assert_cmpstr (error->message, ==, bad[i].message);
  }
}

static void
test_load (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree gchar *dir = g_dir_make_tmp ("gradlaunchfile-XXXXXX", NULL);
  g_autofree gchar *path = g_build_filename (dir, "x.launch", NULL);
  g_autofree gchar *got = NULL;

  g_assert_null (grad_launch_file_load (path, NULL, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_clear_error (&error);

  g_assert_true (g_file_set_contents (path, "a\0b", 3, NULL));
  g_assert_null (grad_launch_file_load (path, NULL, &error));
  g_assert_error (error, GRAD_LAUNCH_FILE_ERROR, GRAD_LAUNCH_FILE_ERROR_SYNTAX);
  g_assert_cmpstr (error->message, ==, "x.launch is not a text file");
  g_clear_error (&error);

  g_assert_true (g_file_set_contents (path, "a=${a}\n", -1, NULL));
  got = grad_launch_file_load (path, ARGS ("a=1"), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (got, ==, "a=1");

  g_unlink (path);
  g_rmdir (dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/launch-file/good", test_good);
  g_test_add_func ("/launch-file/bad", test_bad);
  g_test_add_func ("/launch-file/load", test_load);
  return g_test_run ();
}
