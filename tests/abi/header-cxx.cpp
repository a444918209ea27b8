#include <bufshare.h>
#include <bufshare-host.h>
