/* tests/sanitized.h: whether a sanitizer of gcc or clang watches: it keeps freed memory for a while, handles
 * faults, and slows down. */
#ifndef ATOLL_TESTS_SANITIZED_H
#define ATOLL_TESTS_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
