#include <bufshare.h>
typedef int only_the_header; /* a file of C declares something */
