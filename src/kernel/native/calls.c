/*
 * System calls for JavaScript, as an addon for Node-API. It needs no library: Node and the C library in it have all that it asks for.
 * make.sh makes the files calls.linux-*.node of it.
 *
 *   call(number, ...given)             the result, an error as a negative errno
 *   later(done, number, ...given)      the same in a thread of Node's pool, which may wait; calls done(result)
 *   address(bytes)                     where bytes lie in memory
 *   trim()                             malloc_trim(3): freed memory goes back to the kernel
 *
 * Given are numbers, bytes (Buffer, Uint8Array and the like), of which the kernel gets the address, and null. What is given to
 * `later` must live until `done` is called: `done` has to know it.
 */
#include <stddef.h>
#include <node_api.h>

enum { most_given = 6 };

void *malloc(size_t);
void free(void *);
/* Only the GNU C library has it. */
int malloc_trim(size_t) __attribute__((weak));

struct request {
  long number, given[most_given], result;
  napi_async_work work;
  napi_ref done;
};

static long ask(const long number, const long *given) {
#if defined(__x86_64__)
  long result;
  register long d __asm__("r10") = given[3], e __asm__("r8") = given[4], f __asm__("r9") = given[5];
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(given[0]), "S"(given[1]), "d"(given[2]), "r"(d), "r"(e), "r"(f)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long n __asm__("x8") = number, a __asm__("x0") = given[0], b __asm__("x1") = given[1];
  register long c __asm__("x2") = given[2], d __asm__("x3") = given[3], e __asm__("x4") = given[4];
  register long f __asm__("x5") = given[5];
  __asm__ volatile("svc 0" : "+r"(a) : "r"(n), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f) : "memory");
  return a;
#else
#error "No system calls are known for this processor"
#endif
}

static long value_of(napi_env env, napi_value given) {
  int64_t number;
  void *data;
  if (napi_get_value_int64(env, given, &number) == napi_ok) return number;
  if (napi_get_typedarray_info(env, given, NULL, NULL, &data, NULL, NULL) == napi_ok) return (long)data;
  return 0;
}

/* What JavaScript gives: `first` values that are kept as they are, the call's number and what it is given. */
static void read_given(napi_env env, napi_callback_info info, size_t first, napi_value *kept, struct request *request) {
  napi_value all[2 + most_given];
  size_t count = first + 1 + most_given;
  napi_get_cb_info(env, info, &count, all, NULL, NULL); /* the rest is undefined */
  if (first > 0) *kept = all[0];
  request->number = value_of(env, all[first]);
  for (size_t i = 0; i < most_given; i++) request->given[i] = value_of(env, all[first + 1 + i]);
}

static napi_value number_of(napi_env env, long value) {
  napi_value number;
  return napi_create_int64(env, value, &number) == napi_ok ? number : NULL;
}

static napi_value call(napi_env env, napi_callback_info info) {
  struct request request;
  read_given(env, info, 0, NULL, &request);
  return number_of(env, ask(request.number, request.given));
}

static void execute(napi_env env, void *data) {
  struct request *request = data;
  request->result = ask(request->number, request->given);
}

static void complete(napi_env env, napi_status status, void *data) {
  struct request *request = data;
  napi_value done, global, result = number_of(env, request->result);
  napi_get_reference_value(env, request->done, &done);
  napi_delete_reference(env, request->done);
  napi_delete_async_work(env, request->work);
  free(request);
  if (status == napi_ok && napi_get_global(env, &global) == napi_ok)
    napi_call_function(env, global, done, 1, &result, NULL);
}

static napi_value later(napi_env env, napi_callback_info info) {
  struct request *request = malloc(sizeof *request);
  napi_value done, name;
  if (request == NULL) {
    napi_throw_error(env, "ENOMEM", "There is no memory for a system call");
    return NULL;
  }
  read_given(env, info, 1, &done, request);
  if (napi_create_reference(env, done, 1, &request->done) != napi_ok ||
      napi_create_string_utf8(env, "system call", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, execute, complete, request, &request->work) != napi_ok ||
      napi_queue_async_work(env, request->work) != napi_ok)
    napi_throw_error(env, NULL, "A system call cannot be made in a thread");
  return NULL;
}

static napi_value address(napi_env env, napi_callback_info info) {
  napi_value bytes;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &bytes, NULL, NULL);
  return number_of(env, value_of(env, bytes));
}

static napi_value trim(napi_env env, napi_callback_info info) {
  if (malloc_trim) malloc_trim(0);
  return NULL;
}

static void define(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok)
    napi_set_named_property(env, exports, name, function);
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  define(env, exports, "call", call);
  define(env, exports, "later", later);
  define(env, exports, "address", address);
  define(env, exports, "trim", trim);
  return exports;
}

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 8; }
