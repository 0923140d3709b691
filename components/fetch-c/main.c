// Fetches a page through wasi:http and prints it: `fetch-c URL`.
//
// Nothing of ours is in it: the C library is wasi-libc, and fetch.h is generated from the WIT of
// wasi:http when it is built. What is not freed here, the end of the program frees.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"

// Most bytes read at a time.
#define CHUNK_BYTES 65536

static const char *url;

static _Noreturn void fail(const char *why) {
  fprintf(stderr, "fetch-c: %s: %s\n", url, why);
  exit(1);
}

// The words of wasi:http/types' error-code that a person may meet, and its number for the rest.
static _Noreturn void fail_with(const wasi_http_types_error_code_t *error) {
  char text[64];
  switch (error->tag) {
  case WASI_HTTP_TYPES_ERROR_CODE_DNS_ERROR:
    fail("the name cannot be resolved");
  case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_REFUSED:
    fail("connection refused");
  case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TIMEOUT:
    fail("connection timed out");
  case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED:
    fail("request denied");
  default:
    snprintf(text, sizeof text, "error-code %u of wasi:http/types", (unsigned)error->tag);
    fail(text);
  }
}

// A part of the URL, which the program owns to its end.
static fetch_string_t part(const char *begin, size_t bytes) {
  fetch_string_t text;
  fetch_string_dup_n(&text, begin, bytes);
  return text;
}

static wasi_http_types_own_outgoing_request_t request(void) {
  wasi_http_types_scheme_t scheme;
  const char *authority;
  if (strncmp(url, "http://", 7) == 0) {
    scheme.tag = WASI_HTTP_TYPES_SCHEME_HTTP;
    authority = url + 7;
  } else if (strncmp(url, "https://", 8) == 0) {
    scheme.tag = WASI_HTTP_TYPES_SCHEME_HTTPS;
    authority = url + 8;
  } else {
    fail("not an http or https URL");
  }
  size_t length = strcspn(authority, "/?#");
  const char *path = authority + length;
  if (*path == '?' || *path == '#')
    fail("a URL needs a path before ? or #");
  fetch_string_t authority_text = part(authority, length);
  fetch_string_t path_text = *path ? part(path, strcspn(path, "#")) : part("/", 1);

  wasi_http_types_own_outgoing_request_t made =
      wasi_http_types_constructor_outgoing_request(wasi_http_types_constructor_fields());
  wasi_http_types_borrow_outgoing_request_t it = wasi_http_types_borrow_outgoing_request(made);
  if (!wasi_http_types_method_outgoing_request_set_scheme(it, &scheme) ||
      !wasi_http_types_method_outgoing_request_set_authority(it, &authority_text) ||
      !wasi_http_types_method_outgoing_request_set_path_with_query(it, &path_text))
    fail("not a URL");
  return made;
}

static wasi_http_types_own_incoming_response_t send(wasi_http_types_own_outgoing_request_t asked) {
  wasi_http_types_own_future_incoming_response_t future;
  wasi_http_types_error_code_t error;
  if (!wasi_http_outgoing_handler_handle(asked, NULL, &future, &error))
    fail_with(&error);
  wasi_http_types_borrow_future_incoming_response_t it =
      wasi_http_types_borrow_future_incoming_response(future);
  wasi_io_poll_own_pollable_t ready =
      wasi_http_types_method_future_incoming_response_subscribe(it);
  wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
  wasi_http_types_result_result_own_incoming_response_error_code_void_t answer;
  // "The outer option represents future readiness": it is, since the pollable is.
  if (!wasi_http_types_method_future_incoming_response_get(it, &answer) || answer.is_err)
    fail("the pollable was ready and the response was not");
  if (answer.val.ok.is_err)
    fail_with(&answer.val.ok.val.err);
  return answer.val.ok.val.ok;
}

// Prints the body to its end. A body that breaks off is an error, whatever was printed of it.
static void print(wasi_http_types_borrow_incoming_response_t response) {
  wasi_http_types_own_incoming_body_t body;
  wasi_io_streams_own_input_stream_t stream;
  if (!wasi_http_types_method_incoming_response_consume(response, &body) ||
      !wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body),
                                                   &stream))
    fail("the response has no body to read");
  wasi_io_streams_borrow_input_stream_t it = wasi_io_streams_borrow_input_stream(stream);
  for (;;) {
    fetch_list_u8_t chunk;
    wasi_io_streams_stream_error_t end;
    if (!wasi_io_streams_method_input_stream_blocking_read(it, CHUNK_BYTES, &chunk, &end)) {
      if (end.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED)
        break;
      fail("the body broke off");
    }
    if (fwrite(chunk.ptr, 1, chunk.len, stdout) != chunk.len)
      fail("cannot print");
    fetch_list_u8_free(&chunk);
  }
  if (fflush(stdout) != 0)
    fail("cannot print");
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: fetch-c URL\n");
    return 2;
  }
  url = arguments[1];
  wasi_http_types_borrow_incoming_response_t response =
      wasi_http_types_borrow_incoming_response(send(request()));
  unsigned status = wasi_http_types_method_incoming_response_status(response);
  if (status < 200 || status > 299) {
    char text[32];
    snprintf(text, sizeof text, "status %u", status);
    fail(text);
  }
  print(response);
  return 0;
}
