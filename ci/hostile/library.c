/* A library with thread-locals, which the program loads. */
static __thread char large[5000];
static __thread unsigned long count_of_thread = 3;

unsigned long *count(void) {
    large[count_of_thread % 5000] = 1;
    count_of_thread++;
    return &count_of_thread;
}
