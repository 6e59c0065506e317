/**
 * SHOW PRIVILEGES: MySQL's list with every context it has, since Adminer's page of an account goes
 * by them. GRANT takes fewer; its error names those.
 */
import { textColumn } from '../../base/values.ts';
import { type Listing, everyRow } from './listing.ts';

export const PRIVILEGES: Listing<unknown> = {
  columns: ['Privilege', 'Context', 'Comment'].map(textColumn),
  likeColumns: ['Privilege'],
  seen: everyRow,
  rows: () => [
    ['Alter', 'Tables', 'To alter the table'],
    ['Create', 'Databases,Tables,Indexes', 'To create new databases and tables'],
    ['Create role', 'Server Admin', 'To create new roles'],
    ['Create user', 'Server Admin', 'To create new users'],
    ['Delete', 'Tables', 'To delete existing rows'],
    ['Drop', 'Databases,Tables', 'To drop databases, tables, and views'],
    ['Drop role', 'Server Admin', 'To drop roles'],
    ['Execute', 'Functions,Procedures', 'To execute stored routines'],
    ['File', 'File access on server', 'To read and write files on the server'],
    ['Grant option', 'Databases,Tables', 'To give to other users those privileges you possess'],
    ['Index', 'Tables', 'To create or drop indexes'],
    ['Insert', 'Tables', 'To insert data into tables'],
    ['Process', 'Server Admin', 'To view the plain text of currently executing queries'],
    ['References', 'Databases,Tables', 'To have references on tables'],
    ['Reload', 'Server Admin', 'To reload or refresh tables, logs and privileges'],
    ['Select', 'Tables', 'To retrieve rows from table'],
    ['Show databases', 'Server Admin', 'To see all databases with SHOW DATABASES'],
    ['Shutdown', 'Server Admin', 'To shut down the server'],
    ['Super', 'Server Admin', 'To use KILL thread, SET GLOBAL, ALTER SYSTEM, ADMIN SET, etc.'],
    ['Update', 'Tables', 'To update existing rows'],
    ['Usage', 'Server Admin', 'No privileges - allow connect only'],
  ],
};
