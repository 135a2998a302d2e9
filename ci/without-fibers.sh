# For miri.sh and sanitize.sh: the tests of what runs on OS threads alone. Test files that also have green threads leave
# them out under Miri and `--cfg kahn_threads`.
CHANNELS_WITHOUT_FIBERS=(--test channel --test select --test model --test others)
CORE_WITHOUT_FIBERS=(--test sync_mutex --test sync_rwlock --test sync_condvar --test sync_once --test sync_semaphore)
