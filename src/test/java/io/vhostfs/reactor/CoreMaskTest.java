package io.vhostfs.reactor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CoreMaskTest {
    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "0x6; 1-2",
                "0X1; 0",
                "0x80000000000000000000; 79",
                "[1,2]; 1-2",
                "[ 0-2 , 7 ]; 0-2,7",
                "1,3-5; 1,3-5",
                "5,3,4,4; 3-5",
                "6; 6",
                "1023; 1023",
                "' 0 '; 0"
            })
    void readsMasksAndLists(String text, String cores) {
        assertEquals(cores, CoreMask.parse(text).toString());
        assertEquals(CoreMask.parse(cores), CoreMask.parse(text));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                " ",
                "0x",
                "0x0",
                "0xg",
                "0x-1",
                "[",
                "]",
                "[]",
                "[1",
                "1]",
                "1,",
                ",1",
                "1,,2",
                "3-1",
                "1-",
                "-1",
                "1-2-3",
                "a",
                "1024",
                "99999999999",
                "0-1024",
                "1 2",
                "+1"
            })
    void refusesWhatIsNoMaskAndNamesIt(String text) {
        CoreMaskException e = assertThrows(CoreMaskException.class, () -> CoreMask.parse(text));
        assertTrue(e.toString().contains('"' + text + '"'), e.toString());
    }

    @Test
    void listsCoresInAscendingOrder() {
        CoreMask mask = CoreMask.parse("9,0x1".replace("0x1", "1") + ",4");
        assertArrayEquals(new int[] {1, 4, 9}, mask.cores());
        assertEquals(3, mask.count());
        assertTrue(mask.contains(4));
    }

    @Test
    void allowedCoresAreAllowed() {
        CoreMask allowed = CoreMask.allowed();
        assertEquals(allowed, allowed.requireAllowed());
        assertTrue(allowed.count() >= Runtime.getRuntime().availableProcessors());
    }

    @Test
    void aCoreThatIsNotThereIsNamedWithTheAllowedOnes() {
        CoreMask mask = CoreMask.parse("1023");
        CoreMaskException e = assertThrows(CoreMaskException.class, mask::requireAllowed);
        assertTrue(e.toString().contains("1023"), e.toString());
        assertTrue(e.toString().contains(CoreMask.allowed().toString()), e.toString());
    }
}
