package io.vhostfs.reactor;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** Logs its name whenever it is polled. */
class TestPoller implements Poller {
    final String name;
    final List<String> log;
    boolean dealsWithErrors;

    @Nullable
    Throwable error;

    TestPoller(String name, List<String> log) {
        this.name = name;
        this.log = log;
    }

    @Override
    public int poll() {
        log.add(name);
        return 1;
    }

    @Override
    public boolean prepareToSleep() {
        return true;
    }

    @Override
    public void wake() {}

    @Override
    public boolean onError(Throwable thrown) {
        error = thrown;
        return dealsWithErrors;
    }
}
